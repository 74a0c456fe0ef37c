// docker cp: HEAD, GET and PUT /containers/{id}/archive, and what a hostile container can do about it.

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/base64.h"
#include "engine/base/sys.h"
#include "engine/base/time.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

constexpr std::uint32_t go_directory = 1U << 31;
constexpr std::uint32_t go_symlink = 1U << 27;

class ArchiveTest : public DaemonTest {
 protected:
  static std::string url(const std::string& id, const std::string& path, const std::string& more = "") {
    return "/containers/" + id + "/archive?path=" + url_encode(path) + more;
  }
  Response head(const std::string& id, const std::string& path) { return client().request("HEAD", url(id, path)); }
  json::value stat(const std::string& id, const std::string& path) {
    const Response response = head(id, path);
    EXPECT_EQ(response.status, 200) << path;
    return parse_json(decode_base64(response.header("x-docker-container-path-stat")).value_or("null"));
  }
  Response get(const std::string& id, const std::string& path) { return client().get(url(id, path)); }
  Response put(const std::string& id, const std::string& path, const std::string& tar, const std::string& more = "") {
    return client().request("PUT", url(id, path, more), tar, {{"Content-Type", "application/x-tar"}});
  }
  /// `tar -t` of an archive: names, sorted.
  std::string list(const std::string& tar) {
    return run_command({"sh", "-c", "tar -t | sort | tr '\n' ' '"}, {.input = tar}).out;
  }
  std::string write_scratch(const std::string& name, const std::string& content) {
    const std::string path = scratch(name);
    write_all(open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0644).get(), content);
    return path;
  }
};

TEST_F(ArchiveTest, TheStatHeaderTellsKindSizeAndWhereALinkLeads) {
  const std::string id =
      run({.command = {"sh", "-c",
                       "mkdir -p /d/sub; ln -s ../etc/passwd /d/rel; ln -s /d/rel /d/abs; chmod 4755 /d/sub; "
                       "echo ready; exec /payload pause"}});
  wait_ready(id);
  const json::value file = stat(id, "/etc/passwd");
  EXPECT_EQ(text(at(file, "name")), "passwd");
  EXPECT_GT(at(file, "size").to_number<std::int64_t>(), 0);
  EXPECT_EQ(at(file, "mode").to_number<std::uint32_t>(), 0644U);
  EXPECT_EQ(text(at(file, "linkTarget")), "");
  EXPECT_NE(text(at(file, "mtime")).find('T'), std::string::npos);
  EXPECT_EQ(at(stat(id, "/d/sub"), "mode").to_number<std::uint32_t>(), go_directory | 1U << 23 | 0755U);
  const json::value link = stat(id, "/d/abs");
  EXPECT_EQ(at(link, "mode").to_number<std::uint32_t>() & go_symlink, go_symlink);
  EXPECT_EQ(text(at(link, "linkTarget")), "/etc/passwd");
  EXPECT_EQ(text(at(stat(id, "d/../etc/passwd"), "name")), "passwd");
}

TEST_F(ArchiveTest, ADownloadIsNamedAfterThePathAndAfterADotOnlyItsContents) {
  const std::string id = create();
  const std::string built = TarBuilder().directory("d").file("d/one", "1").symlink("d/link", "one").finish();
  ASSERT_EQ(put(id, "/", built).status, 200);
  EXPECT_EQ(list(get(id, "/d").body), "d/ d/link d/one ");
  EXPECT_EQ(list(get(id, "/d/").body), "d/ d/link d/one ");
  EXPECT_EQ(list(get(id, "/d/.").body), "./ ./link ./one ");
  EXPECT_EQ(list(get(id, "/d/one").body), "one ");
  const Response link = get(id, "/d/link");
  EXPECT_EQ(run_command({"tar", "-tv"}, {.input = link.body}).out.substr(0, 1), "l") << "a link itself, not its target";
  EXPECT_EQ(link.header("content-type"), "application/x-tar");
  EXPECT_FALSE(link.header("x-docker-container-path-stat").empty());
}

TEST_F(ArchiveTest, AnUploadIntoACreatedContainerIsThereAtItsStartWithItsMode) {
  const std::string id = create({.command = {"/opt/deep/run"}});
  const std::string tar =
      TarBuilder().file("opt/deep/run", "#!/bin/sh\nid -u; stat -c %u:%g:%a /opt/deep/run\n", 0755, 12, 34).finish();
  const Response response = put(id, "/", tar);
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.body, "");
  start(id);
  EXPECT_EQ(wait(id), 0);
  EXPECT_EQ(logs(id).out, "0\n12:34:755\n");
}

TEST_F(ArchiveTest, RunningPausedAndExitedContainersAreReadAndWritten) {
  const std::string id = run({.command = {"sh", "-c", "mkdir /in; echo ready; exec /payload pause"}});
  wait_ready(id);
  EXPECT_EQ(put(id, "/in", TarBuilder().file("running", "r").finish()).status, 200);
  EXPECT_EQ(exec(id, {"cat", "/in/running"}).out, "r");
  EXPECT_EQ(client().post("/containers/" + id + "/pause").status, 204);
  EXPECT_EQ(put(id, "/in", TarBuilder().file("paused", "p").finish()).status, 200);
  EXPECT_EQ(list(get(id, "/in/.").body), "./ ./paused ./running ");
  EXPECT_EQ(client().post("/containers/" + id + "/unpause").status, 204);
  EXPECT_EQ(client().post("/containers/" + id + "/stop?t=0").status, 204);
  EXPECT_EQ(put(id, "/in", TarBuilder().file("exited", "e").finish()).status, 200);
  EXPECT_EQ(list(get(id, "/in/.").body), "./ ./exited ./paused ./running ");
  start(id);
  EXPECT_EQ(exec(id, {"cat", "/in/exited"}).out, "e");
}

/// Uploads whose client stops in the middle.
class StuckUploadTest : public ArchiveTest {
 protected:
  /// Sends the head and a first file, and the begin of a second one; gives the open connection.
  UniqueFd begin_upload(const std::string& id) {
    UniqueFd socket = connect_unix(client().socket_path(), SOCK_STREAM);
    const std::string tar = TarBuilder().file("first", "1").file("second", std::string(100'000, 'x')).finish();
    write_all(socket.get(),
              concat("PUT ", url(id, "/in"), " HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\n",
                     "Content-Length: ", tar.size(), "\r\n\r\n", tar.substr(0, 20'000)));
    return socket;
  }
  static std::string answer(const UniqueFd& socket) {
    std::string out(4096, '\0');
    if (!wait_readable(socket.get(), 30'000)) return "nothing";
    const ssize_t got = ::recv(socket.get(), out.data(), out.size(), 0);
    out.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return out;
  }
  /// Some process of this machine has the container's root mounted.
  bool is_mounted(const std::string& id) {
    return run_command({"sh", "-c", "cat /proc/[0-9]*/mountinfo 2>/dev/null | grep -q " + id}).code == 0;
  }
};

TEST_F(StuckUploadTest, TheContainersEndEndsTheUploadAndUnmountsItsRoot) {
  const std::string id = run({.command = {"sh", "-c", "mkdir -p /in; echo ready; exec /payload pause"}});
  for (const bool removed : {false, true}) {
    wait_ready(id);
    const UniqueFd upload = begin_upload(id);
    ASSERT_TRUE(eventually([&] { return exec(id, {"test", "-e", "/in/first"}).code == 0; }));
    ASSERT_TRUE(is_mounted(id));
    if (removed) {
      EXPECT_EQ(client().remove("/containers/" + id + "?force=1").status, 204);
    } else {
      EXPECT_EQ(client().post("/containers/" + id + "/stop?t=0").status, 204);
    }
    EXPECT_FALSE(is_mounted(id));
    const std::string told = answer(upload);
    EXPECT_TRUE(told.starts_with("HTTP/1.1 409 ")) << told;
    EXPECT_NE(told.find("has ended during the upload"), std::string::npos) << told;
    if (removed) break;
    start(id);
    EXPECT_EQ(exec(id, {"rm", "-r", "/in"}).code, 0);
    EXPECT_EQ(exec(id, {"mkdir", "/in"}).code, 0);
  }
}

TEST_F(StuckUploadTest, ARemovalByForceDoesNotWaitForTheClientOfAContainerAtRest) {
  const std::string id = create();
  ASSERT_EQ(put(id, "/", TarBuilder().directory("in").finish()).status, 200);
  const UniqueFd upload = begin_upload(id);
  const std::string first = concat(engine().data_root(), "/containers/", id, "/upper/in/first");
  ASSERT_TRUE(eventually([&] { return ::access(first.c_str(), F_OK) == 0; }));
  EXPECT_EQ(client().remove("/containers/" + id + "?force=1").status, 204);
  const std::string told = answer(upload);
  EXPECT_TRUE(told.starts_with("HTTP/1.1 409 ")) << told;
  EXPECT_FALSE(is_mounted(id));
}

/// Downloads whose client reads nothing.
class StuckDownloadTest : public StuckUploadTest {
 protected:
  /// Longer than every buffer on the way.
  static constexpr const char* fill =
      "dd if=/dev/zero of=/big bs=1M count=12 2>/dev/null; echo ready; exec /payload pause";

  HttpStream begin_download(const std::string& id) {
    HttpStream stream = client().open("GET", url(id, "/big"));
    EXPECT_EQ(stream.head().status, 200);
    EXPECT_TRUE(is_mounted(id));
    return stream;
  }
};

TEST_F(StuckDownloadTest, ARemovalWaitsForNoClientAndItsMountsAreGone) {
  for (const bool running : {true, false}) {
    const std::string id = run({.command = {"sh", "-c", fill}});
    wait_ready(id);
    if (!running) {
      ASSERT_EQ(client().post("/containers/" + id + "/stop?t=0").status, 204);
    }
    HttpStream stuck = begin_download(id);
    EXPECT_EQ(client().remove(concat("/containers/", id, running ? "?force=1" : "")).status, 204);
    EXPECT_TRUE(eventually([&] { return !is_mounted(id); }, std::chrono::seconds(30))) << "running: " << running;
    EXPECT_THROW(
        {
          while (!stuck.read_some().empty()) {
          }
        },
        Error)
        << "an archive that was cut off must not look whole";
  }
}

TEST_F(StuckDownloadTest, AContainersEndIsNotTheEndOfItsDownload) {
  const std::string id = run({.command = {"sh", "-c", fill}});
  wait_ready(id);
  HttpStream slow = begin_download(id);
  EXPECT_EQ(client().post("/containers/" + id + "/stop?t=0").status, 204);
  EXPECT_GT(slow.read_to_end().size(), std::size_t{12} << 20);
  EXPECT_TRUE(eventually([&] { return !is_mounted(id); }, std::chrono::seconds(30)));
}

TEST_F(ArchiveTest, VolumesBindsAndTmpfsAreSeenAsTheContainerSeesThem) {
  const std::string bind = scratch("bound");
  ASSERT_EQ(::mkdir(bind.c_str(), 0755), 0);
  const std::string id = create({.command = {"sh", "-c", "echo t > /tmpfs/t; echo ready; exec /payload pause"},
                                 .host = {{"Binds", json::array{"cpvol:/vol", bind + ":/bind", bind + ":/ro:ro"}},
                                          {"Tmpfs", json::object{{"/tmpfs", ""}}}}});
  const std::string tar = TarBuilder().file("f", "content").finish();
  EXPECT_EQ(put(id, "/vol", tar).status, 200) << "a volume of a container that never ran";
  EXPECT_EQ(put(id, "/bind", tar).status, 200);
  EXPECT_EQ(read_file(bind + "/f"), "content");
  EXPECT_EQ(put(id, "/ro", tar).message(), "mounted volume is marked read-only");
  start(id);
  wait_ready(id);
  EXPECT_EQ(exec(id, {"cat", "/vol/f"}).out, "content");
  EXPECT_EQ(list(get(id, "/tmpfs").body), "tmpfs/ tmpfs/t ");
  EXPECT_EQ(put(id, "/tmpfs", tar).status, 200);
  EXPECT_EQ(exec(id, {"cat", "/tmpfs/f"}).out, "content");
  const Response refused = put(id, "/ro", tar);
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.message(), "mounted volume is marked read-only");
  remove(id);
  EXPECT_EQ(client().remove("/volumes/cpvol").status, 204);
}

TEST_F(ArchiveTest, AReadOnlyRootRefusesAndItsVolumesDoNot) {
  for (const bool running : {false, true}) {
    const std::string id = create({.host = {{"ReadonlyRootfs", true}, {"Binds", json::array{"rov:/vol"}}}});
    if (running) start(id);
    const std::string tar = TarBuilder().file("f", "x").finish();
    const Response refused = put(id, "/etc", tar);
    EXPECT_EQ(refused.status, 400);
    EXPECT_EQ(refused.message(), "container rootfs is marked read-only");
    EXPECT_EQ(put(id, "/vol", tar).status, 200);
    EXPECT_EQ(get(id, "/etc/passwd").status, 200);
    remove(id);
  }
  EXPECT_EQ(client().remove("/volumes/rov").status, 204);
}

TEST_F(ArchiveTest, ErrorsAreDockersOwn) {
  const std::string id = create({.name = "errors"});
  Response response = get("errors", "/nowhere");
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.message(), "Could not find the file /nowhere in container errors");
  EXPECT_EQ(head(id, "/nowhere").status, 404);
  EXPECT_EQ(get(id, "/etc/passwd/").status, 404);
  response = put(id, "/nowhere", TarBuilder().file("f", "x").finish());
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.message(), "Could not find the file /nowhere in container " + id);
  response = put(id, "/etc/passwd", TarBuilder().file("f", "x").finish());
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.message(), "extraction point is not a directory");
  response = client().get("/containers/" + id + "/archive");
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.message(), "bad parameter: path cannot be empty");
  EXPECT_EQ(client().get(url("nobody", "/")).status, 404);
  EXPECT_EQ(put(id, "/", "this is no tar, and it is long enough to be one" + std::string(1000, 'x')).status, 400);
}

TEST_F(ArchiveTest, DirectoriesAndFilesReplaceEachOtherUnlessForbidden) {
  const std::string id = create();
  ASSERT_EQ(
      put(id, "/", TarBuilder().directory("t").directory("t/d").file("t/d/full", "x").file("t/f", "y").finish()).status,
      200);
  const std::string file_over_directory = TarBuilder().file("d", "new").finish();
  const std::string directory_over_file = TarBuilder().directory("f").finish();
  Response response = put(id, "/t", file_over_directory, "&noOverwriteDirNonDir=1");
  EXPECT_EQ(response.status, 400);
  EXPECT_NE(response.message().find("cannot overwrite directory \"/t/d\" with non-directory"), std::string::npos)
      << response.message();
  response = put(id, "/t", directory_over_file, "&noOverwriteDirNonDir=true");
  EXPECT_EQ(response.status, 400);
  EXPECT_NE(response.message().find("cannot overwrite non-directory \"/t/f\" with directory"), std::string::npos)
      << response.message();
  EXPECT_EQ(put(id, "/t", file_over_directory).status, 200);
  EXPECT_EQ(put(id, "/t", directory_over_file).status, 200);
  EXPECT_EQ(list(get(id, "/t").body), "t/ t/d t/f/ ");
}

TEST_F(ArchiveTest, CopyUidGidGivesEverythingToTheContainersUser) {
  const std::string tar = TarBuilder().directory("own").file("own/f", "x", 0600, 77, 77).finish();
  for (const auto& [user, owner] : {std::pair{"1000:50", "1000:50"}, {"user", "1000:1000"}, {"", "77:77"}}) {
    const std::string id = run({.extra = {{"User", user}}});
    ASSERT_EQ(put(id, "/tmp", tar, "&copyUIDGID=1").status, 200);
    EXPECT_EQ(exec(id, {"stat", "-c", "%u:%g", "/tmp/own/f"}).out, concat(owner, "\n")) << user;
  }
}

TEST_F(ArchiveTest, CompressedUploadsAreUnpacked) {
  const std::string id = create();
  const std::string tar = write_scratch("plain.tar", TarBuilder().file("packed", "content").finish());
  for (const std::string program : {"gzip", "bzip2", "xz", "zstd"}) {
    if (run_command({"sh", "-c", "command -v " + program}).code != 0) continue;
    const CommandResult packed = run_command({"sh", "-c", program + " -c < " + tar});
    ASSERT_EQ(packed.code, 0) << program;
    EXPECT_EQ(put(id, "/", packed.out).status, 200) << program;
    EXPECT_NE(get(id, "/packed").body.find("content"), std::string::npos) << program;
  }
}

TEST_F(ArchiveTest, AMountedFileIsFilledInPlace) {
  const std::string id = run();
  const std::string before = exec(id, {"stat", "-c", "%i", "/etc/hosts"}).out;
  EXPECT_EQ(put(id, "/etc", TarBuilder().file("hosts", "10.0.0.1 me\n").finish()).status, 200);
  EXPECT_EQ(exec(id, {"cat", "/etc/hosts"}).out, "10.0.0.1 me\n");
  EXPECT_EQ(exec(id, {"stat", "-c", "%i", "/etc/hosts"}).out, before);
}

TEST_F(ArchiveTest, EventsTellOfBothDirections) {
  const std::string id = create();
  EXPECT_EQ(get(id, "/etc/passwd").status, 200);
  EXPECT_EQ(put(id, "/", TarBuilder().file("f", "x").finish()).status, 200);
  const std::string events = client()
                                 .get("/events?since=1&until=" + std::to_string(to_unix_seconds(now()) + 1) +
                                      "&filters=" + url_encode("{\"container\":[\"" + id + "\"]}"))
                                 .body;
  EXPECT_NE(events.find("archive-path"), std::string::npos);
  EXPECT_NE(events.find("extract-to-dir"), std::string::npos);
}

TEST_F(ArchiveTest, AHostileArchiveStaysInTheContainer) {
  const std::string id = run();
  const std::string outside = scratch("outside");
  ASSERT_EQ(::mkdir(outside.c_str(), 0777), 0);
  const std::string up = "../../../../../../../../../..";
  const std::vector<std::string> tars = {
      TarBuilder().file(up + outside + "/dots", "x").finish(),
      TarBuilder().file(outside + "/absolute", "x").finish(),
      TarBuilder().symlink("out", outside).file("out/link", "x").finish(),
      TarBuilder().symlink("out2", up + outside).file("out2/link", "x").finish(),
      TarBuilder().symlink("chain1", "chain2").symlink("chain2", outside).file("chain1/f", "x").finish(),
      TarBuilder().symlink("magic", "/proc/1/root").file("magic/etc/made", "x").finish(),
      TarBuilder().symlink("magic2", "/proc/self/fd/3").file("magic2", "x").finish(),
      TarBuilder().hard_link("hard", up + "/etc/shadow").finish(),
      TarBuilder().entry("truncated", '0', "x", "", 0644, 0, 0).finish().substr(0, 700)};
  for (const std::string& tar : tars) {
    const Response response = put(id, "/tmp", tar);
    EXPECT_TRUE(response.status == 200 || response.status == 400 || response.status == 500) << response.body;
    const std::string made = run_command({"find", outside, "-mindepth", "1"}).out;
    ASSERT_EQ(made, "") << response.body;
  }
  EXPECT_EQ(client().get("/_ping").status, 200);
}

// What CVE-2018-15664 and its kin did: a path that the engine found good is swapped for a link before it is used.
TEST_F(ArchiveTest, PathsSwappedMeanwhileNeverLeadToTheHost) {
  const std::string outside = scratch("host");
  ASSERT_EQ(::mkdir(outside.c_str(), 0777), 0);
  write_scratch("host/secret", "HOST SECRET");
  const std::string id =
      run({.command = {"sh", "-c",
                       "mkdir -p /w/real; echo inside > /w/real/secret; ln -s " + outside +
                           " /w/evil; ln -s /proc/1/root" + outside +
                           " /w/magic; echo ready; while :; do mv /w/real /w/t; mv -T /w/evil /w/real; "
                           "mv -T /w/real /w/evil; mv -T /w/magic /w/real; mv -T /w/real /w/magic; mv /w/t "
                           "/w/real; done"},
           .host = {{"CapAdd", json::array{"SYS_ADMIN", "SYS_PTRACE"}}}});
  wait_ready(id);
  const std::string tar = TarBuilder().file("planted", "x").finish();
  int found = 0;
  // Five hundred calls, of four kinds.
  for (int round = 0; round < 125; ++round) {
    const Response read = get(id, "/w/real/secret");
    EXPECT_EQ(read.body.find("HOST SECRET"), std::string::npos);
    found += read.body.find("inside") != std::string::npos ? 1 : 0;
    const Response tree = get(id, "/w");
    EXPECT_EQ(tree.body.find("HOST SECRET"), std::string::npos);
    head(id, "/w/real/secret");
    put(id, "/w/real", tar);
    ASSERT_FALSE(path_exists(outside + "/planted"));
  }
  EXPECT_GT(found, 0) << "the swapped path was never read: the test shows nothing";
}

class ArchiveCliTest : public ArchiveTest {};

TEST_F(ArchiveCliTest, TheOfficialClientCopiesBothWaysByItsOwnRules) {
  REQUIRE_PROGRAM("docker");
  const std::string id = run({.command = {"sh", "-c",
                                          "mkdir /have; echo in > /have/f; ln -s f /have/l; echo ready; exec "
                                          "/payload pause"},
                              .name = "cp"});
  wait_ready(id);
  const std::string tree = scratch("tree");
  ASSERT_EQ(::mkdir(tree.c_str(), 0755), 0);
  write_scratch("tree/a", "A");
  EXPECT_EQ(docker({"cp", tree, "cp:/new"}).code, 0);
  EXPECT_EQ(exec(id, {"cat", "/new/a"}).out, "A");
  EXPECT_EQ(docker({"cp", tree, "cp:/new"}).code, 0);
  EXPECT_EQ(exec(id, {"cat", "/new/tree/a"}).out, "A") << "into an existing directory: below its own name";
  EXPECT_EQ(docker({"cp", tree + "/.", "cp:/have"}).code, 0);
  EXPECT_EQ(exec(id, {"cat", "/have/a"}).out, "A") << "its contents";
  EXPECT_EQ(docker({"cp", tree + "/a", "cp:/have/renamed"}).code, 0);
  EXPECT_EQ(exec(id, {"cat", "/have/renamed"}).out, "A");

  const std::string out = scratch("out");
  EXPECT_EQ(docker({"cp", "cp:/have", out}).code, 0);
  EXPECT_EQ(read_file(out + "/f"), "in\n");
  EXPECT_EQ(docker({"cp", "cp:/have/l", out + "/link"}).code, 0);
  struct stat status{};
  ASSERT_EQ(::lstat((out + "/link").c_str(), &status), 0);
  EXPECT_TRUE(S_ISLNK(status.st_mode));
  EXPECT_EQ(docker({"cp", "-L", "cp:/have/l", out + "/followed"}).code, 0);
  EXPECT_EQ(read_file(out + "/followed"), "in\n");
  EXPECT_NE(docker({"cp", "cp:/have/f/", out}).code, 0);
  const CommandResult missing = docker({"cp", "cp:/nowhere", out});
  EXPECT_EQ(missing.code, 1);
  // Clients before 23.0 say it in words of their own.
  const bool named = missing.err.find("Could not find the file /nowhere in container cp") != std::string::npos ||
                     missing.err.find("No such container:path: cp:/nowhere") != std::string::npos;
  EXPECT_TRUE(named) << missing.err;
}

TEST_F(ArchiveCliTest, ArchiveModeKeepsOwnersAndStdinAndStdoutAreTars) {
  REQUIRE_PROGRAM("docker");
  const std::string id = run({.name = "cp", .extra = {{"User", "1000:1000"}}});
  const std::string file = write_scratch("owned", "x");
  ASSERT_EQ(::chown(file.c_str(), 55, 66), 0);
  EXPECT_EQ(docker({"cp", "-a", file, "cp:/tmp/kept"}).code, 0);
  const std::string packed = TarBuilder().file("piped", "P").finish();
  EXPECT_EQ(docker({"cp", "-", "cp:/tmp"}, {.input = packed}).code, 0);
  EXPECT_EQ(exec(id, {"cat", "/tmp/piped"}).out, "P");
  const CommandResult out = docker({"cp", "cp:/tmp/piped", "-"});
  EXPECT_EQ(out.code, 0) << out.err;
  EXPECT_EQ(list(out.out), "piped ");
  EXPECT_EQ(exec(id, {"stat", "-c", "%u:%g", "/tmp/kept"}).out, "1000:1000\n")
      << "archive mode asks for copyUIDGID, which means the container's user";
}

TEST_F(ArchiveCliTest, OurOwnClientCopiesAsWell) {
  const std::string id = run({.name = "cp"});
  const std::string file = write_scratch("mine", "M");
  EXPECT_EQ(mydocker({"cp", file, "cp:/tmp/there"}).code, 0);
  const CommandResult back = mydocker({"cp", "cp:/tmp/there", scratch("back")});
  EXPECT_EQ(back.code, 0) << back.err;
  EXPECT_EQ(read_file(scratch("back")), "M");
}

}  // namespace
}  // namespace mydocker::test
