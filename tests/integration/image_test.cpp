// Images that arrive as archives, and leave again unchanged.

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/digest.h"
#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"
#include "tests/support/temp_tree.h"

namespace mydocker::test {
namespace {

class ImageTest : public DaemonTest {
 protected:
  /// Saves images through the API and unpacks the archive; gives the directory.
  std::string save(const std::string& names) {
    HttpStream stream = client().open("GET", "/images/get?" + names);
    EXPECT_EQ(stream.head().status, 200);
    const std::string file = scratch("saved.tar");
    write_all(open_file(file, O_WRONLY | O_CREAT | O_TRUNC, 0600).get(), stream.read_to_end());
    const std::string directory = scratch("saved");
    remove_tree(directory);
    make_dirs(directory);
    EXPECT_EQ(run_command({"tar", "-xf", file, "-C", directory}).code, 0);
    return directory;
  }
  json::value image(const std::string& name) {
    const Response response = client().get("/images/" + name + "/json");
    EXPECT_EQ(response.status, 200) << response.body;
    return response.json();
  }
  std::string loaded_text(const std::string& file) {
    return client().upload("POST", "/images/load?quiet=1", file, "application/x-tar").body;
  }
  /// A layer with everything that has to survive: links, devices, odd names, long contents, odd padding.
  static std::string odd_layer() {
    TarBuilder tar;
    tar.directory("odd")
        .file("odd/file", "content", 04755, 12, 34)
        .entry("odd/hard", '1', "", "odd/file", 04755, 12, 34);
    tar.symlink("odd/dangling", "/nowhere").device("odd/null", '3', 1, 3).entry("odd/fifo", '6', "", "", 0600, 1, 2);
    tar.file("odd/b", std::string(100001, 'b')).file("odd/empty", "").file("odd/\xC3\xA4 name", "x");
    return tar.finish() + std::string(9 * 1024, '\0');
  }
};

TEST_F(ImageTest, ALoadedImageHasItsKnownIdentity) {
  const ImageSpec spec = payload_image();
  const BuiltImage built = build_image(spec);
  const json::value inspected = image("payload");
  EXPECT_EQ(text(at(inspected, "Id")), built.id);
  EXPECT_EQ(text(at(inspected, "RootFS.Layers.0")), built.diff_ids[0]);
  EXPECT_EQ(text(at(inspected, "RepoTags.0")), "payload:latest");
  EXPECT_EQ(text(at(inspected, "Architecture")), "amd64");
  EXPECT_EQ(text(at(inspected, "Config.Cmd.0")), "/payload");
}

TEST_F(ImageTest, EveryArchiveFormIsLoaded) {
  ImageSpec spec{.name = "form:docker", .layers = {base_layer()}, .config = {}};
  const std::string file = scratch("archive.tar");
  write_docker_archive(file, spec);
  EXPECT_NE(loaded_text(file).find("Loaded image: form:docker"), std::string::npos);
  spec.name = "form:oci";
  write_oci_archive(file, spec);
  EXPECT_NE(loaded_text(file).find("Loaded image: form:oci"), std::string::npos);
  spec.name = "form:ocigz";
  write_oci_archive(file, spec, true);
  EXPECT_NE(loaded_text(file).find("Loaded image: form:ocigz"), std::string::npos);
  for (const auto& [program, suffix] : {std::pair("gzip", "gz"), std::pair("xz", "xz"), std::pair("bzip2", "bz2")}) {
    if (find_program(program).empty()) continue;
    spec.name = concat("form:", suffix);
    write_docker_archive(file, spec);
    ASSERT_EQ(run_command({program, "-f", "-k", file}).code, 0);
    EXPECT_NE(loaded_text(concat(file, ".", suffix)).find(concat("Loaded image: form:", suffix)), std::string::npos)
        << suffix;
  }
  for (const char* tag : {"docker", "oci", "ocigz"}) {
    EXPECT_EQ(run_to_end({.image = concat("form:", tag), .command = {"/payload", "echo", tag}}).out, concat(tag, "\n"));
    EXPECT_EQ(text(at(image(concat("form:", tag)), "Id")), build_image(spec).id);
  }
  take_snapshot();
}

TEST_F(ImageTest, SaveIsBitExact) {
  const ImageSpec spec{.name = "odd:1", .layers = {base_layer(), odd_layer()}, .config = {{"Cmd", json::array{"x"}}}};
  const BuiltImage built = build_image(spec);
  load(spec);
  take_snapshot();
  const std::string directory = save("names=odd:1");
  const json::value manifest = parse_json(read_file(directory + "/manifest.json"));
  EXPECT_EQ(text(at(manifest, "0.RepoTags.0")), "odd:1");
  EXPECT_EQ(sha256_of(read_file(directory + "/" + text(at(manifest, "0.Config")))).text(), built.id);
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    const std::string layer = read_file(directory + "/" + text(at(manifest, concat("0.Layers.", i))));
    EXPECT_EQ(sha256_of(layer).text(), built.diff_ids[i]);
    EXPECT_TRUE(layer == spec.layers[i]) << "layer " << i;
  }
  EXPECT_TRUE(path_exists(directory + "/oci-layout"));
  EXPECT_TRUE(path_exists(directory + "/index.json"));
}

TEST_F(ImageTest, ASavedImageLoadsAgainAfterRemoval) {
  load({.name = "round:trip", .layers = {base_layer(), odd_layer()}, .config = {}});
  const std::string id = text(at(image("round:trip"), "Id"));
  HttpStream stream = client().open("GET", "/images/round:trip/get");
  const std::string file = scratch("round.tar");
  write_all(open_file(file, O_WRONLY | O_CREAT, 0600).get(), stream.read_to_end());
  EXPECT_EQ(client().remove("/images/round:trip").status, 200);
  EXPECT_EQ(client().get("/images/round:trip/json").status, 404);
  EXPECT_NE(loaded_text(file).find("Loaded image: round:trip"), std::string::npos);
  EXPECT_EQ(text(at(image("round:trip"), "Id")), id);
  EXPECT_EQ(client().remove("/images/round:trip").status, 200);
}

TEST_F(ImageTest, LayersKeepModesOwnersLinksAndDevices) {
  load({.name = "odd:2", .layers = {base_layer(), odd_layer()}, .config = {}});
  take_snapshot();
  const Outcome outcome =
      run_to_end({.image = "odd:2",
                  .command = {"sh", "-c",
                              "cd /odd; /payload stat file; /payload stat null; /payload stat fifo; readlink dangling; "
                              "[ file -ef hard ] && echo linked; wc -c < b; ls | wc -l"}});
  EXPECT_EQ(outcome.out, "104755 12 34 7 0 0 2\n20600 0 0 0 1 3 1\n10600 1 2 0 0 0 1\n/nowhere\nlinked\n100001\n8\n")
      << outcome.err;
}

TEST_F(ImageTest, WhiteoutsAndOpaqueDirectoriesHide) {
  load({.name = "white:1",
        .layers =
            {base_layer(),
             TarBuilder().directory("d").file("d/a", "a").file("d/b", "b").directory("o").file("o/old", "x").finish(),
             TarBuilder()
                 .directory("d")
                 .file("d/.wh.a", "")
                 .directory("o")
                 .file("o/.wh..wh..opq", "")
                 .file("o/new", "y")
                 .finish()},
        .config = {}});
  take_snapshot();
  const Outcome outcome = run_to_end({.image = "white:1", .command = {"sh", "-c", "ls /d; ls -A /o"}});
  EXPECT_EQ(outcome.out, "b\nnew\n");
}

TEST_F(ImageTest, HostileArchivesWriteNothingOutside) {
  const std::string canary = scratch("canary");
  make_dirs(canary);
  const std::string deep = "../../../../../../../../../../..";
  const std::vector<std::pair<const char*, std::string>> corpus = {
      {"dotdot", TarBuilder().file(deep.substr(0, 30) + "evil", "x").finish()},
      {"absolute", TarBuilder().file("/tmp/mydocker-evil-absolute", "x").finish()},
      {"symlink then file", TarBuilder().symlink("l", canary).file("l/evil", "x").finish()},
      {"symlink chain", TarBuilder().symlink("a", "b").symlink("b", canary).file("a/evil", "x").finish()},
      {"hard link outside", TarBuilder().hard_link("h", "../../../../../../etc/passwd").file("h", "x").finish()},
      {"hard link to symlink", TarBuilder().symlink("s", canary + "/f").hard_link("h", "s").file("h", "x").finish()},
      {"whiteout of dotdot", TarBuilder().file(".wh...", "").finish()},
      {"device over symlink", TarBuilder().symlink("s", canary).device("s/dev", '3', 1, 3).finish()},
      {"directory over symlink", TarBuilder().symlink("s", canary).directory("s/evil").finish()},
  };
  int number = 0;
  for (const auto& [name, layer] : corpus) {
    const std::string file = scratch("hostile.tar");
    write_docker_archive(file, {.name = concat("hostile:", ++number), .layers = {base_layer(), layer}, .config = {}});
    loaded_text(file);  // refused or contained: both are right
    EXPECT_EQ(list_tree(canary), "") << name;
    EXPECT_FALSE(path_exists("/tmp/mydocker-evil-absolute")) << name;
    EXPECT_FALSE(engine().has_died()) << name;
    client().remove(concat("/images/hostile:", number, "?force=1"));
  }
  // The benign twin of the same form is accepted.
  load({.name = "benign:1",
        .layers = {base_layer(), TarBuilder().directory("real").symlink("l", "real").file("l/fine", "x").finish()},
        .config = {}});
  EXPECT_EQ(run_to_end({.image = "benign:1", .command = {"cat", "/real/fine"}}).out, "x");
  client().remove("/images/benign:1?force=1");
}

TEST_F(ImageTest, AWrongDigestIsRefused) {
  const ImageSpec spec{.name = "wrong:1", .layers = {TarBuilder().file("right", "x").finish()}, .config = {}};
  const BuiltImage built = build_image(spec);
  // The layer's bytes do not match the diff ID of the config.
  TarBuilder tar;
  tar.file("l/layer.tar", TarBuilder().file("other", "x").finish()).file("config.json", built.config);
  tar.file("manifest.json", R"([{"Config":"config.json","RepoTags":["wrong:1"],"Layers":["l/layer.tar"]}])");
  const std::string file = scratch("wrong.tar");
  write_all(open_file(file, O_WRONLY | O_CREAT, 0600).get(), tar.finish());
  const Response response = client().upload("POST", "/images/load?quiet=1", file, "application/x-tar");
  EXPECT_TRUE(response.status >= 400 || response.body.find("errorDetail") != std::string::npos) << response.body;
  EXPECT_EQ(client().get("/images/wrong:1/json").status, 404);
}

TEST_F(ImageTest, TagsComeAndGo) {
  EXPECT_EQ(client().post("/images/payload/tag?repo=other.example:5000/a/b&tag=v1").status, 201);
  EXPECT_EQ(text(at(image("other.example:5000/a/b:v1"), "Id")), text(at(image("payload"), "Id")));
  const Response removed = client().remove("/images/other.example:5000/a/b:v1");
  EXPECT_EQ(removed.status, 200);
  EXPECT_EQ(text(at(removed.json(), "0.Untagged")), "other.example:5000/a/b:v1");
  EXPECT_EQ(client().get("/images/payload/json").status, 200);
  EXPECT_EQ(client().post("/images/nope/tag?repo=x&tag=y").status, 404);
}

TEST_F(ImageTest, AnImageInUseIsNotRemoved) {
  const std::string id = run();
  const Response response = client().remove("/images/payload");
  EXPECT_EQ(response.status, 409) << response.body;
  EXPECT_NE(response.message().find("is using its referenced image"), std::string::npos) << response.body;
  EXPECT_EQ(client().remove("/images/nope").status, 404);
  EXPECT_EQ(client().remove("/images/nope").message(), "No such image: nope:latest");
}

TEST_F(ImageTest, ListAndHistoryDescribeIt) {
  const json::value list = client().get("/images/json").json();
  ASSERT_EQ(list.as_array().size(), 1U) << write_json(list);
  EXPECT_EQ(text(at(list, "0.RepoTags.0")), "payload:latest");
  EXPECT_GT(at(list, "0.Size").to_number<std::int64_t>(), 1'000'000);
  const json::value history = client().get("/images/payload/history").json();
  ASSERT_EQ(history.as_array().size(), 1U);
  EXPECT_EQ(text(at(history, "0.CreatedBy")), "test");
  EXPECT_EQ(text(at(history, "0.Tags.0")), "payload:latest");
}

TEST_F(ImageTest, ImportMakesAnImageOfATar) {
  const std::string file = scratch("rootfs.tar");
  write_all(open_file(file, O_WRONLY | O_CREAT, 0600).get(), base_layer());
  const Response response = client().upload("POST", "/images/create?fromSrc=-&repo=imported&tag=v1&changes=ENV%20A%3D1",
                                            file, "application/x-tar");
  EXPECT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(run_to_end({.image = "imported:v1", .command = {"sh", "-c", "echo $A"}}).out, "1\n");
  EXPECT_EQ(client().remove("/images/imported:v1").status, 200);
}

TEST_F(ImageTest, TheBundledImageNeedsNoRegistry) {
  const Response pulled = client().post("/images/create?fromImage=busybox&tag=bundled");
  EXPECT_EQ(pulled.status, 200) << pulled.body;
  EXPECT_EQ(pulled.body.find("errorDetail"), std::string::npos) << pulled.body;
  EXPECT_EQ(run_to_end({.image = "busybox:bundled", .command = {"sh", "-c", "echo $((6*7))"}}).out, "42\n");
  EXPECT_EQ(client().remove("/images/busybox:bundled").status, 200);
}

TEST_F(ImageTest, RemovingTheLastImageGivesTheDiskBack) {
  const auto count = [&] { return run_command({"sh", "-c", "ls " + engine().data_root() + "/layers | wc -l"}).out; };
  const std::string layers = count();
  load({.name = "temp:1", .layers = {base_layer(), odd_layer()}, .config = {}});
  EXPECT_NE(count(), layers);
  EXPECT_EQ(client().remove("/images/temp:1").status, 200);
  EXPECT_TRUE(eventually([&] { return count() == layers; }));
}

/// Where systemd runs every mount is shared; in the namespace of the other cases none is.
class SharedMountsTest : public DaemonTest {
 protected:
  void SetUp() override {
    REQUIRE_ROOT();
    REQUIRE_NAMESPACES();
    enter_private_namespaces();
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr), 0);
    shared_ = true;
    DaemonTest::SetUp();
  }
  void TearDown() override {
    DaemonTest::TearDown();
    if (shared_) ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  }

 private:
  bool shared_ = false;
};

TEST_F(SharedMountsTest, ImagesAreUnpackedAndContainersReadAndPacked) {
  EXPECT_EQ(mydocker({"run", "--name", "changed", "payload", "sh", "-c", "echo x > /new"}).code, 0);
  EXPECT_NE(mydocker({"diff", "changed"}).out.find("A /new\n"), std::string::npos);
  const std::string file = scratch("export.tar");
  EXPECT_EQ(mydocker({"export", "-o", file, "changed"}).code, 0);
  EXPECT_EQ(mydocker({"import", file, "imported:1"}).code, 0);
  EXPECT_EQ(mydocker({"run", "--rm", "imported:1", "cat", "/new"}).out, "x\n");
  EXPECT_EQ(mydocker({"cp", "changed:/new", scratch("copied")}).code, 0);
  EXPECT_EQ(read_file(scratch("copied")), "x\n");
  EXPECT_EQ(mydocker({"commit", "changed", "committed:1"}).code, 0);
  EXPECT_EQ(mydocker({"run", "--rm", "committed:1", "cat", "/new"}).out, "x\n");
  EXPECT_EQ(mydocker({"rm", "changed"}).code, 0);
  EXPECT_EQ(mydocker({"rmi", "imported:1", "committed:1"}).code, 0);
}

}  // namespace
}  // namespace mydocker::test
