#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "engine/base/atomic_file.h"
#include "engine/base/digest.h"
#include "engine/base/process.h"
#include "engine/base/sys.h"
#include "engine/base/time.h"
#include "image/image_config.h"
#include "image/manifest.h"
#include "image/tar_writer.h"

/// Build-time program: packs the image `busybox:bundled` as an OCI archive from a statically linked busybox.
///   pack_busybox /bin/busybox OUTPUT.tar
/// The same busybox makes the same bytes.
namespace mydocker::image {

namespace {

constexpr std::string_view image_name = "docker.io/library/busybox:bundled";
constexpr std::size_t max_busybox_bytes = std::size_t{32} << 20;

/// Content of a tar that `fill` writes.
template <typename Fill>
std::string make_tar(std::int64_t time, Fill&& fill) {
  const UniqueFd file = make_memfd("tar", "", false);
  TarWriter tar(file.get(), time);
  fill(tar);
  tar.finish();
  if (::lseek(file.get(), 0, SEEK_SET) != 0) throw sys_error("lseek");
  return read_all(file.get(), std::size_t{1} << 30, "tar");
}

/// A program that needs a loader from its root file system would not run in the image.
void check_static(std::string_view program) {
  Elf64_Ehdr header{};
  if (program.size() < sizeof header) throw Error(ErrorKind::invalid_argument, "busybox is no program");
  std::memcpy(&header, program.data(), sizeof header);
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment{};
    const std::size_t offset = header.e_phoff + std::size_t{i} * header.e_phentsize;
    if (offset + sizeof segment > program.size()) throw Error(ErrorKind::invalid_argument, "busybox is no program");
    std::memcpy(&segment, program.data() + offset, sizeof segment);
    if (segment.p_type == PT_INTERP) {
      throw Error(ErrorKind::invalid_argument, "busybox is not statically linked: install busybox-static");
    }
  }
}

/// "bin/ls", "usr/bin/env"...
std::vector<std::string> list_applets(const std::string& busybox) {
  Pipe pipe = make_pipe();
  SpawnOptions options;
  options.program = busybox;
  options.arguments = {"busybox", "--list-full"};
  options.fds = {{pipe.write.get(), 1}};
  Process process = Process::spawn(options);
  pipe.write.reset();
  const std::string text = read_all(pipe.read.get(), std::size_t{1} << 20, "busybox --list-full");
  if (!process.wait().success()) throw Error(ErrorKind::internal, "busybox --list-full failed");
  std::vector<std::string> out;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (!line.empty() && line.find('/') != std::string::npos && line != "bin/busybox") out.push_back(std::move(line));
    begin = end + 1;
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string make_layer(const std::string& busybox, const std::string& program, std::int64_t time) {
  const std::vector<std::string> applets = list_applets(busybox);
  return make_tar(time, [&](TarWriter& tar) {
    tar.add_directory("bin/");
    tar.add_file("bin/busybox", program, 0755);
    for (const char* directory : {"dev/", "etc/", "home/", "proc/"}) tar.add_directory(directory);
    tar.add_directory("root/", 0700);
    for (const char* directory : {"run/", "sbin/", "sys/"}) tar.add_directory(directory);
    tar.add_directory("tmp/", 01777);
    for (const char* directory : {"usr/", "usr/bin/", "usr/sbin/", "var/", "var/spool/"}) tar.add_directory(directory);
    tar.add_directory("var/tmp/", 01777);
    tar.add_file("etc/passwd",
                 "root:x:0:0:root:/root:/bin/sh\n"
                 "daemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
                 "www-data:x:33:33:www-data:/var/www:/bin/false\n"
                 "nobody:x:65534:65534:nobody:/home:/bin/false\n");
    tar.add_file("etc/group",
                 "root:x:0:\ndaemon:x:1:\nadm:x:4:\ntty:x:5:\nwheel:x:10:root\nwww-data:x:33:\nusers:x:100:\n"
                 "nogroup:x:65534:\n");
    tar.add_file("etc/shadow", "root:*:::::::\ndaemon:*:::::::\nwww-data:*:::::::\nnobody:*:::::::\n", 0600);
    tar.add_file("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
    for (const std::string& applet : applets) {
      const auto depth = std::count(applet.begin(), applet.end(), '/');
      std::string up;
      for (long i = 0; i < depth; ++i) up += "../";
      if (!applet.starts_with("bin/") && !applet.starts_with("sbin/") && !applet.starts_with("usr/bin/") &&
          !applet.starts_with("usr/sbin/")) {
        continue;
      }
      tar.add_symlink(applet, applet.starts_with("bin/") ? "busybox" : concat(up, "bin/busybox"));
    }
  });
}

std::string make_config(const Digest& diff_id, std::int64_t time) {
  ImageDocument document;
  document.created = to_rfc3339(from_unix_nanoseconds(time * 1'000'000'000));
  document.architecture = host_architecture();
  document.os = "linux";
  document.config.env = {{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}};
  document.config.cmd = {{"sh"}};
  document.rootfs.diff_ids = {diff_id.text()};
  document.history = {{.created = document.created, .created_by = "packed from busybox-static"},
                      {.created = document.created, .created_by = "CMD [\"sh\"]", .empty_layer = true}};
  return make_document_json(document);
}

json::object make_descriptor(std::string_view media_type, const std::string& bytes) {
  return {{"mediaType", media_type}, {"digest", sha256_of(bytes).text()}, {"size", bytes.size()}};
}

void pack(const std::string& busybox, const std::string& output) {
  const std::string program = read_file(busybox, max_busybox_bytes);
  check_static(program);
  struct stat status{};
  if (::stat(busybox.c_str(), &status) != 0) throw sys_error("stat ", busybox);
  const std::int64_t time = status.st_mtim.tv_sec;  // when the package was built
  const std::string layer = make_layer(busybox, program, time);
  const std::string config = make_config(sha256_of(layer), time);
  const std::string manifest =
      write_json(json::object{{"schemaVersion", 2},
                              {"mediaType", media_type::oci_manifest},
                              {"config", make_descriptor(media_type::oci_config, config)},
                              {"layers", json::array{make_descriptor(media_type::oci_layer, layer)}}});
  json::object named = make_descriptor(media_type::oci_manifest, manifest);
  named["platform"] = json::object{{"architecture", host_architecture()}, {"os", "linux"}};
  named["annotations"] =
      json::object{{"io.containerd.image.name", image_name}, {"org.opencontainers.image.ref.name", "bundled"}};
  const std::string archive = make_tar(time, [&](TarWriter& tar) {
    tar.add_file("oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
    tar.add_file("index.json",
                 write_json(json::object{
                     {"schemaVersion", 2}, {"mediaType", media_type::oci_index}, {"manifests", json::array{named}}}));
    tar.add_directory("blobs/");
    tar.add_directory("blobs/sha256/");
    for (const std::string* blob : {&manifest, &config, &layer}) {
      tar.add_file(concat("blobs/sha256/", sha256_of(*blob).hex()), *blob);
    }
  });
  write_file_atomically(output, archive, 0644);
}

}  // namespace

}  // namespace mydocker::image

int main(int argc, char** argv) {
  try {
    if (argc != 3) throw mydocker::Error(mydocker::ErrorKind::invalid_argument, "usage: pack_busybox BUSYBOX OUTPUT");
    mydocker::image::pack(argv[1], argv[2]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "pack_busybox: %s\n", error.what());
    return 1;
  }
}
