#include "tests/support/image_builder.h"

#include <fcntl.h>
#include <zlib.h>

#include <cstdio>
#include <cstring>

#include "engine/base/digest.h"
#include "engine/base/sys.h"
#include "tests/support/command.h"
#include "tests/support/programs.h"
#include "tests/support/requirements.h"

namespace mydocker::test {
namespace {

constexpr std::size_t block = 512;

void put_octal(std::string& header, std::size_t offset, std::size_t width, std::uint64_t value) {
  char digits[24];
  std::snprintf(digits, sizeof digits, "%0*llo", static_cast<int>(width - 1), static_cast<unsigned long long>(value));
  std::memcpy(header.data() + offset, digits, width - 1);
}

void put_text(std::string& header, std::size_t offset, std::size_t width, std::string_view text) {
  std::memcpy(header.data() + offset, text.data(), std::min(width, text.size()));
}

std::string padded(std::string_view content) {
  std::string out(content);
  out.resize((content.size() + block - 1) / block * block, '\0');
  return out;
}

void write_whole_file(const std::string& path, std::string_view content) {
  const UniqueFd fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  write_all(fd.get(), content);
}

}  // namespace

TarBuilder& TarBuilder::entry(const std::string& name, char type, std::string_view content,
                              const std::string& link_name, unsigned mode, unsigned uid, unsigned gid, unsigned major,
                              unsigned minor) {
  if (name.size() > 100 || link_name.size() > 100) throw Error(ErrorKind::internal, "tar: name too long for a test");
  std::string header(block, '\0');
  put_text(header, 0, 100, name);
  put_octal(header, 100, 8, mode);
  put_octal(header, 108, 8, uid);
  put_octal(header, 116, 8, gid);
  put_octal(header, 124, 12, content.size());
  put_octal(header, 136, 12, 1'700'000'000);
  header[156] = type;
  put_text(header, 157, 100, link_name);
  put_text(header, 257, 8, std::string_view("ustar\00000", 8));
  put_octal(header, 329, 8, major);
  put_octal(header, 337, 8, minor);
  std::memset(header.data() + 148, ' ', 8);
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put_octal(header, 148, 7, sum);
  header[154] = '\0';
  bytes_ += header + padded(content);
  return *this;
}

TarBuilder& TarBuilder::directory(const std::string& name, unsigned mode) {
  return entry(name + "/", '5', "", "", mode, 0, 0);
}
TarBuilder& TarBuilder::file(const std::string& name, std::string_view content, unsigned mode, unsigned uid,
                             unsigned gid) {
  return entry(name, '0', content, "", mode, uid, gid);
}
TarBuilder& TarBuilder::symlink(const std::string& name, const std::string& target) {
  return entry(name, '2', "", target, 0777, 0, 0);
}
TarBuilder& TarBuilder::hard_link(const std::string& name, const std::string& target) {
  return entry(name, '1', "", target, 0644, 0, 0);
}
TarBuilder& TarBuilder::device(const std::string& name, char type, unsigned major, unsigned minor, unsigned mode) {
  return entry(name, type, "", "", mode, 0, 0, major, minor);
}

std::string TarBuilder::finish() const { return bytes_ + std::string(2 * block, '\0'); }

BuiltImage build_image(const ImageSpec& spec) {
  BuiltImage image;
  json::array diff_ids;
  json::array history;
  for (const std::string& layer : spec.layers) {
    image.diff_ids.push_back(sha256_of(layer).text());
    diff_ids.emplace_back(image.diff_ids.back());
    history.push_back(json::object{{"created", "2024-01-02T03:04:05Z"}, {"created_by", "test"}});
  }
  image.config = write_json(json::object{{"architecture", "amd64"},
                                         {"os", "linux"},
                                         {"created", "2024-01-02T03:04:05Z"},
                                         {"config", spec.config},
                                         {"rootfs", json::object{{"type", "layers"}, {"diff_ids", diff_ids}}},
                                         {"history", history}});
  image.id = sha256_of(image.config).text();
  return image;
}

void write_docker_archive(const std::string& path, const ImageSpec& spec) {
  const BuiltImage image = build_image(spec);
  TarBuilder tar;
  json::array layers;
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    const std::string name = image.diff_ids[i].substr(7) + "/layer.tar";
    tar.directory(image.diff_ids[i].substr(7)).file(name, spec.layers[i]);
    layers.emplace_back(name);
  }
  const std::string config_name = image.id.substr(7) + ".json";
  tar.file(config_name, image.config);
  json::array tags;
  if (!spec.name.empty()) tags.emplace_back(spec.name);
  tar.file("manifest.json",
           write_json(json::array{json::object{{"Config", config_name}, {"RepoTags", tags}, {"Layers", layers}}}));
  write_whole_file(path, tar.finish());
}

void write_oci_archive(const std::string& path, const ImageSpec& spec, bool gzip_layers) {
  const BuiltImage image = build_image(spec);
  TarBuilder tar;
  tar.directory("blobs").directory("blobs/sha256");
  const auto add_blob = [&tar](const std::string& bytes, const std::string& media_type) {
    const std::string digest = sha256_of(bytes).text();
    tar.file("blobs/sha256/" + digest.substr(7), bytes);
    return json::object{{"mediaType", media_type}, {"digest", digest}, {"size", bytes.size()}};
  };
  json::array layers;
  for (const std::string& layer : spec.layers) {
    layers.push_back(gzip_layers ? add_blob(gzip(layer), "application/vnd.oci.image.layer.v1.tar+gzip")
                                 : add_blob(layer, "application/vnd.oci.image.layer.v1.tar"));
  }
  const std::string manifest =
      write_json(json::object{{"schemaVersion", 2},
                              {"mediaType", "application/vnd.oci.image.manifest.v1+json"},
                              {"config", add_blob(image.config, "application/vnd.oci.image.config.v1+json")},
                              {"layers", layers}});
  json::object descriptor = add_blob(manifest, "application/vnd.oci.image.manifest.v1+json");
  descriptor["annotations"] = json::object{{"io.containerd.image.name", "docker.io/library/" + spec.name},
                                           {"org.opencontainers.image.ref.name", spec.name}};
  tar.file("index.json", write_json(json::object{{"schemaVersion", 2}, {"manifests", json::array{descriptor}}}));
  tar.file("oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
  write_whole_file(path, tar.finish());
}

std::string base_layer() {
  const std::string busybox = read_file(find_program("busybox"));
  TarBuilder tar;
  tar.directory("bin").directory("dev").directory("etc").directory("home").directory("proc").directory("root", 0700);
  tar.directory("sys").directory("tmp", 01777).directory("usr").directory("usr/bin").directory("var");
  tar.file("payload", read_file(payload_program()), 0755);
  tar.file("bin/busybox", busybox, 0755);
  const CommandResult applets = run_command({"busybox", "--list"});
  for (std::size_t begin = 0; begin < applets.out.size();) {
    const std::size_t end = applets.out.find('\n', begin);
    const std::string name = applets.out.substr(begin, end - begin);
    if (!name.empty() && name != "busybox") tar.symlink("bin/" + name, "busybox");
    begin = end + 1;
  }
  tar.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:User:/home:/bin/sh\n");
  tar.file("etc/group", "root:x:0:\nuser:x:1000:\nextra:x:2000:user\n");
  tar.file("etc/shadowed", "from the image\n");
  return tar.finish();
}

ImageSpec payload_image() {
  return ImageSpec{.name = "payload:latest",
                   .layers = {base_layer()},
                   .config = {{"Cmd", json::array{"/payload", "pause"}}, {"Env", json::array{"PATH=/usr/bin:/bin"}}}};
}

std::string gzip(std::string_view bytes) {
  z_stream stream{};
  if (::deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw Error(ErrorKind::internal, "deflateInit2");
  }
  std::string out(::deflateBound(&stream, bytes.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));  // zlib does not write to it
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = ::deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  if (result != Z_STREAM_END) throw Error(ErrorKind::internal, "deflate");
  return out;
}

}  // namespace mydocker::test
