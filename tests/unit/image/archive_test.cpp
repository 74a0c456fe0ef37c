#include "image/archive.h"

#include <fcntl.h>

#include "engine/base/sys.h"
#include "image/archive_spool.h"
#include "image/manifest.h"
#include "image/tar_writer.h"
#include "tests/unit/image/fake_registry.h"
#include "tests/unit/image/image_fixture.h"

namespace mydocker::image {
namespace {

using test::Files;
using test::make_docker_archive;
using test::make_image;
using test::make_tar;
using test::TempFile;
using test::TestImage;

using Strings = std::vector<std::string>;

class ArchiveTest : public test::StoreFixture {
 protected:
  std::vector<LoadedImage> load(std::string_view archive, bool quiet = true) {
    const TempFile file(archive);
    return load_archive(*images, {.tmp_dir = paths.tmp(), .quiet = quiet}, file.fd(), lines.sink());
  }
  std::string save(const Strings& names) {
    const TempFile file;
    save_archive(*images, plan_save(*images, names), file.fd());
    return file.content();
  }
  /// Writes a file below the test's root.
  std::string put(const std::string& name, std::string_view content) {
    root.write(name, content);
    return root.path(name);
  }
  static std::string oci_archive(const TestImage& image, json::object annotations) {
    Files files{{"oci-layout", R"({"imageLayoutVersion":"1.0.0"})"}};
    json::array layer_list;
    for (const std::string& layer : image.layers) {
      const std::string blob = test::gzip(layer);
      files.emplace_back("blobs/sha256/" + sha256_of(blob).hex(), blob);
      layer_list.push_back(json::object{{"mediaType", concat(media_type::oci_layer, "+gzip")},
                                        {"digest", sha256_of(blob).text()},
                                        {"size", blob.size()}});
    }
    files.emplace_back("blobs/sha256/" + image.id().hex(), image.config);
    const std::string manifest = write_json(json::object{{"schemaVersion", 2},
                                                         {"config", json::object{{"mediaType", media_type::oci_config},
                                                                                 {"digest", image.id().text()},
                                                                                 {"size", image.config.size()}}},
                                                         {"layers", layer_list}});
    files.emplace_back("blobs/sha256/" + sha256_of(manifest).hex(), manifest);
    files.emplace_back("index.json", write_json(json::object{
                                         {"schemaVersion", 2},
                                         {"manifests", json::array{json::object{{"mediaType", media_type::oci_manifest},
                                                                                {"digest", sha256_of(manifest).text()},
                                                                                {"size", manifest.size()},
                                                                                {"annotations", annotations}}}}}));
    return make_tar(files);
  }

  test::Lines lines;
};

TEST_F(ArchiveTest, ADockerArchiveIsLoadedWithItsTags) {
  const TestImage image = test::three_layer_image();
  const auto loaded = load(make_docker_archive(image, {"bb:1", "docker.io/library/bb:2"}), false);
  ASSERT_EQ(loaded.size(), 1U);
  EXPECT_EQ(loaded[0].id, image.id());
  EXPECT_EQ(loaded[0].names, (Strings{"bb:1", "bb:2"}));
  EXPECT_TRUE(lines.contains("Loaded image: bb:1\n"));
  EXPECT_TRUE(lines.contains(sha256_of(image.layers[0]).short_hex() + ": Loading layer"));
  EXPECT_EQ(images->get("bb:2").id, image.id());
}

TEST_F(ArchiveTest, AnUntaggedImageIsNamedByItsId) {
  const TestImage image = test::three_layer_image();
  load(make_docker_archive(image, {}));
  EXPECT_EQ(lines.texts(), (Strings{"Loaded image ID: " + image.id().text() + "\n"}));
}

TEST_F(ArchiveTest, EveryCompressionIsRead) {
  const TestImage image = test::three_layer_image();
  const std::string archive = make_docker_archive(image, {"a"});
  for (const char* program : {"gzip", "xz", "bzip2", "zstd"}) {
    if (mydocker::test::find_program(program).empty()) continue;
    load(test::filter_through({program, "-c"}, archive));
    EXPECT_EQ(images->remove("a", {}, {}).size(), 5U) << program;
    EXPECT_EQ(leftovers(), "");
  }
}

TEST_F(ArchiveTest, LayersMayBeCompressedInside) {
  TestImage image = test::three_layer_image();
  const std::string plain_config = image.config;
  for (std::string& layer : image.layers) layer = test::gzip(layer);
  load(make_docker_archive(image, {"a"}));
  EXPECT_EQ(images->get("a").id, sha256_of(plain_config));
}

TEST_F(ArchiveTest, LinksBetweenLayersAreFollowedInsideTheArchive) {
  const TestImage one = make_image({make_tar({{"a", "1"}})});
  const TempFile file;
  TarWriter tar(file.fd());
  tar.add_file("x/layer.tar", one.layers[0]);
  tar.add_symlink("y/layer.tar", "../x/layer.tar");
  tar.add_file("c.json", one.config);
  tar.add_file("manifest.json", R"([{"Config":"c.json","RepoTags":["a:1"],"Layers":["y/layer.tar"]}])");
  tar.finish();
  load(file.content());
  EXPECT_EQ(images->get("a:1").id, one.id());
}

TEST_F(ArchiveTest, AnOciArchiveIsLoadedByItsAnnotations) {
  const TestImage image = test::three_layer_image();
  EXPECT_EQ(load(oci_archive(image, {{"io.containerd.image.name", "docker.io/library/oci:1"}}))[0].names,
            (Strings{"oci:1"}));
  EXPECT_EQ(load(oci_archive(image, {{"org.opencontainers.image.ref.name", "registry.example/x:2"}}))[0].names,
            (Strings{"registry.example/x:2"}));
  EXPECT_EQ(load(oci_archive(image, {{"org.opencontainers.image.ref.name", "latest"}}))[0].names, Strings{});
  EXPECT_EQ(images->list().size(), 1U);
}

TEST_F(ArchiveTest, SavedArchivesAreBitExactAndLoadAgain) {
  const TestImage image = test::three_layer_image();
  add(image, {"a:1", "b:2"});
  const std::string archive = save({"a:1", "b:2"});
  const std::string file = put("saved.tar", archive);
  make_dirs(root.path("out"));
  test::run({"tar", "-xf", file, "-C", root.path("out")});
  for (const std::string& layer : image.layers) {
    EXPECT_TRUE(root.read("out/blobs/sha256/" + sha256_of(layer).hex()) == layer);
  }
  EXPECT_EQ(root.read("out/blobs/sha256/" + image.id().hex()), image.config);
  const json::value manifest = parse_json(root.read("out/manifest.json"));
  EXPECT_EQ(manifest.at(0).at("RepoTags"), (json::array{"a:1", "b:2"}));
  EXPECT_EQ(manifest.at(0).at("Config").as_string(), "blobs/sha256/" + image.id().hex());
  EXPECT_EQ(save({"a:1", "b:2"}), archive);
  images->remove(image.id().text(), {.force = true}, {});
  EXPECT_EQ(leftovers(), "");
  load(archive);
  EXPECT_EQ(images->get("b:2").id, image.id());
  EXPECT_EQ(save({"a:1", "b:2"}), archive);
}

TEST_F(ArchiveTest, SaveByRepositoryAndById) {
  const TestImage image = make_image({make_tar({{"a", "1"}})});
  add(image, {"a:1", "a:2", "b:1"});
  const SavePlan all = plan_save(*images, {"a"});
  ASSERT_EQ(all.entries.size(), 1U);
  EXPECT_EQ(all.entries[0].names.size(), 2U);
  EXPECT_TRUE(plan_save(*images, {image.id().short_hex()}).entries[0].names.empty());
  EXPECT_THROW_ERROR(plan_save(*images, {"nope"}), ErrorKind::not_found, "No such image: nope");
}

TEST_F(ArchiveTest, OtherToolsReadWhatIsSaved) {
  REQUIRE_PROGRAM("skopeo");
  REQUIRE_PROGRAM("umoci");
  const TestImage image = test::three_layer_image();
  add(image, {"a:1"});
  const std::string file = put("saved.tar", save({"a:1"}));
  test::run({"skopeo", "--insecure-policy", "--tmpdir", root.path(), "copy", "docker-archive:" + file + ":a:1",
             "oci:" + root.path("layout:x")});
  EXPECT_NE(test::run({"umoci", "list", "--layout", root.path("layout")}).find("x"), std::string::npos);
  test::run({"skopeo", "--insecure-policy", "--tmpdir", root.path(), "copy", "oci:" + root.path("layout:x"),
             "oci-archive:" + root.path("again.tar:other.example/a:9")});
  images->remove("a:1", {}, {});
  const UniqueFd again = open_file(root.path("again.tar"), O_RDONLY);
  load_archive(*images, {.tmp_dir = paths.tmp()}, again.get(), lines.sink());
  EXPECT_EQ(images->get("other.example/a:9").diff_ids.size(), 3U);
}

TEST_F(ArchiveTest, WhatIsNoImageIsRefusedAndLeavesNothing) {
  const TestImage image = test::three_layer_image();
  std::string wrong_layer =
      make_docker_archive({image.config, {image.layers[0], image.layers[0], image.layers[2]}}, {"a"});
  std::string cut = make_docker_archive(image, {"a"});
  cut.resize(cut.size() / 2);
  for (const std::string& bad :
       {std::string(), std::string("not a tar"), make_tar({{"x", "y"}}), make_tar({{"manifest.json", "{}"}}),
        make_tar({{"manifest.json", R"([{"Config":"missing.json","Layers":[]}])"}}),
        make_tar({{"manifest.json", R"([{"Config":"../../../etc/passwd","Layers":[]}])"}}),
        make_tar({{"manifest.json", "[]"}}),
        make_tar(
            {{"index.json", R"({"schemaVersion":2,"manifests":[{"mediaType":"x","digest":"sha256:../x","size":1}]})"}}),
        wrong_layer, cut}) {
    EXPECT_THROW_ERROR(load(bad), ErrorKind::invalid_argument, "");
    EXPECT_EQ(leftovers(), "");
  }
}

TEST_F(ArchiveTest, ABlobMustBeItsDigest) {
  std::string archive = oci_archive(test::three_layer_image(), {{"io.containerd.image.name", "a:1"}});
  const std::size_t gzip_at = archive.find("\x1f\x8b");
  archive[gzip_at + 60] = static_cast<char>(archive[gzip_at + 60] ^ 1);
  EXPECT_THROW_ERROR(load(archive), ErrorKind::invalid_argument, "does not match its digest");
  EXPECT_EQ(leftovers(), "");
}

TEST_F(ArchiveTest, ImportMakesAnImageOfOneLayer) {
  const std::string tar = make_tar({{"etc/", ""}, {"etc/x", "1"}});
  for (const std::string& data : {tar, test::gzip(tar), test::zstd(tar), test::filter_through({"xz", "-c"}, tar)}) {
    const TempFile file(data);
    const Image image = import_archive(
        *images, {.reference = Reference::parse("imp"), .changes = {"CMD [\"x\"]", "ENV A=1"}, .message = "hello"},
        file.fd(), lines.sink());
    EXPECT_EQ(image.repo_tags, (Strings{"imp:latest"}));
    EXPECT_EQ(image.diff_ids, (std::vector<Digest>{sha256_of(tar)}));
    EXPECT_EQ(image.config().cmd, (Strings{"x"}));
    EXPECT_EQ(image.document->comment, "hello");
    EXPECT_EQ(images->history("imp").at(0).comment, "hello");
    EXPECT_EQ(lines.texts().back(), image.id.text());
    EXPECT_TRUE(read_layer(image.chain_id) == tar);
  }
}

TEST_F(ArchiveTest, BadImportsLeaveNothing) {
  const TempFile junk(std::string(5000, 'j'));
  EXPECT_THROW_ERROR(import_archive(*images, {}, junk.fd(), lines.sink()), ErrorKind::invalid_argument, "");
  const TempFile tar(make_tar({{"a", "1"}}));
  EXPECT_THROW_ERROR(import_archive(*images, {.changes = {"RUN x"}}, tar.fd(), lines.sink()),
                     ErrorKind::invalid_argument, "RUN is not a valid change command");
  EXPECT_EQ(leftovers(), "");
}

TEST_F(ArchiveTest, AnImportFromAUrl) {
  const std::string tar = make_tar({{"x", "1"}});
  test::HttpServer server([&](const test::Request& request) {
    if (request.path() == "/rootfs.tar.gz") return test::Reply{302, {{"Location", "/real"}}, ""};
    return request.path() == "/real" ? test::Reply{200, {}, test::gzip(tar)} : test::Reply{404, {}, ""};
  });
  const Image image =
      import_url(*images, {.reference = Reference::parse("u")}, server.host() + "/rootfs.tar.gz", lines.sink());
  EXPECT_EQ(lines.texts(), (Strings{"Downloading from " + server.origin() + "/rootfs.tar.gz", image.id.text()}));
  EXPECT_EQ(image.document->comment, "Imported from " + server.origin() + "/rootfs.tar.gz");
  EXPECT_EQ(image.diff_ids, (std::vector<Digest>{sha256_of(tar)}));
  EXPECT_THROW_ERROR(import_url(*images, {}, server.origin() + "/no", lines.sink()), ErrorKind::internal, "status 404");
  EXPECT_THROW_ERROR(import_url(*images, {}, "file:///etc/passwd", lines.sink()), ErrorKind::invalid_argument, "URL");
  images->remove("u", {}, {});
  EXPECT_EQ(leftovers(), "");
}

TEST_F(ArchiveTest, ABombIsRefusedAndLeavesNothing) {
  const std::string zeros(std::size_t{80} << 20, '\0');
  EXPECT_THROW_ERROR(load(test::gzip(make_tar({{"zeros", zeros}}))), ErrorKind::too_large,
                     "expands more than 200 times");
  const TempFile bomb(test::gzip(make_tar({{"zeros", zeros}})));
  EXPECT_THROW_ERROR(import_archive(*images, {}, bomb.fd(), lines.sink()), ErrorKind::too_large, "200 times");
  EXPECT_EQ(leftovers(), "");
}

TEST(ArchiveNames, AreNormalised) {
  EXPECT_EQ(normalize_archive_name("./a//b/../c"), "a/c");
  EXPECT_EQ(normalize_archive_name("../../etc/passwd"), "etc/passwd");
  EXPECT_EQ(normalize_archive_name("/a/"), "a");
  EXPECT_EQ(normalize_archive_name(".."), "");
}

}  // namespace
}  // namespace mydocker::image
