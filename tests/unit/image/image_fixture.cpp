#include "tests/unit/image/image_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <thread>

#include "engine/base/process.h"
#include "engine/base/sys.h"
#include "image/tar_writer.h"

namespace mydocker::image::test {

std::string gzip(std::string_view data) {
  z_stream stream{};
  if (deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw std::bad_alloc();
  std::string out(deflateBound(&stream, data.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd(std::string_view data) {
  std::string out(ZSTD_compressBound(data.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 3));
  return out;
}

namespace {

std::string run_with_input(const std::vector<std::string>& command, int input) {
  Pipe pipe = make_pipe();
  SpawnOptions options;
  options.program = mydocker::test::find_program(command.front());
  options.arguments = command;
  options.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/nonexistent"};
  options.fds = {{pipe.write.get(), 1}, {pipe.write.get(), 2}};
  if (input >= 0) options.fds.emplace_back(input, 0);
  Process process = Process::spawn(options);
  pipe.write.reset();
  std::string out = read_all(pipe.read.get(), std::size_t{1} << 30, command.front());
  if (!process.wait().success()) throw Error(ErrorKind::internal, concat(command.front(), " failed: ", out));
  return out;
}

}  // namespace

std::string run(const std::vector<std::string>& command) { return run_with_input(command, -1); }

std::string filter_through(const std::vector<std::string>& command, std::string_view input) {
  const TempFile file(input);
  return run_with_input(command, file.fd());
}

TempFile::TempFile(std::string_view content) : file_(::memfd_create("test", MFD_CLOEXEC)) {
  write_all(file_.get(), content);
  rewind();
}

void TempFile::rewind() const { ::lseek(file_.get(), 0, SEEK_SET); }

std::string TempFile::content() const {
  rewind();
  return read_all(file_.get(), std::size_t{1} << 30, "temporary file");
}

std::string make_tar(const Files& files) {
  const TempFile file;
  TarWriter tar(file.fd(), 1700000000);
  for (const auto& [name, content] : files) {
    if (name.ends_with('/')) {
      tar.add_directory(name);
    } else {
      tar.add_file(name, content);
    }
  }
  tar.finish();
  return file.content();
}

TestImage make_image(std::vector<std::string> layers, const std::vector<std::string>& changes,
                     std::string_view architecture) {
  ImageDocument document;
  document.created = "2026-01-02T03:04:05.05Z";
  document.architecture = architecture;
  document.os = "linux";
  apply_changes(document.config, changes);
  for (const std::string& layer : layers) {
    document.rootfs.diff_ids.push_back(sha256_of(layer).text());
    document.history.push_back({.created = document.created, .created_by = "layer"});
  }
  document.history.push_back({.created = document.created, .created_by = "CMD", .empty_layer = true});
  return {make_document_json(document), std::move(layers)};
}

TestImage three_layer_image() {
  return make_image({make_tar({{"etc/", ""}, {"etc/one", "1"}, {"etc/shared", std::string(100000, 's')}}),
                     make_tar({{"bin/", ""}, {"bin/two", std::string(300000, '2')}}),
                     make_tar({{"etc/three", "3"}, {"etc/.wh.one", ""}})});
}

std::string make_docker_archive(const TestImage& image, const std::vector<std::string>& tags) {
  json::array names;
  for (const std::string& tag : tags) names.emplace_back(tag);
  json::array layer_names;
  Files files;
  for (std::size_t i = 0; i < image.layers.size(); ++i) {
    const std::string name = concat("layer", i, "/layer.tar");
    layer_names.emplace_back(name);
    files.emplace_back(name, image.layers[i]);
  }
  files.emplace_back(image.id().hex() + ".json", image.config);
  files.emplace_back("manifest.json",
                     write_json(json::array{json::object{{"Config", image.id().hex() + ".json"},
                                                         {"RepoTags", tags.empty() ? json::value(nullptr) : names},
                                                         {"Layers", layer_names}}}));
  return make_tar(files);
}

ProgressSink Lines::sink() {
  return [this](const ProgressMessage& message) {
    const std::scoped_lock lock(mutex_);
    messages_.push_back(message);
  };
}

std::vector<ProgressMessage> Lines::all() const {
  const std::scoped_lock lock(mutex_);
  return messages_;
}

std::vector<std::string> Lines::texts() const {
  std::vector<std::string> out;
  for (const ProgressMessage& one : all()) {
    out.push_back(one.stream.empty() ? concat(one.id, one.id.empty() ? "" : ": ", one.status) : one.stream);
  }
  return out;
}

bool Lines::contains(std::string_view text) const {
  const std::vector<std::string> lines = texts();
  return std::any_of(lines.begin(), lines.end(), [&](const std::string& one) { return one.find(text) != one.npos; });
}

std::size_t Lines::count(std::string_view status) const {
  const std::vector<ProgressMessage> lines = all();
  return static_cast<std::size_t>(
      std::count_if(lines.begin(), lines.end(), [&](const ProgressMessage& one) { return one.status == status; }));
}

void StoreFixture::SetUp() {
  REQUIRE_ROOT();
  REQUIRE_NAMESPACES();
  paths.prepare();
  restart();
}

void StoreFixture::restart() {
  images.reset();
  layers.reset();
  database.reset();
  database = std::make_unique<Database>(paths.state_db());
  storage::WorkerOptions worker;
  worker.program = MYDOCKER_WORKER_PROGRAM;
  layers = std::make_unique<storage::LayerStore>(*database, paths, worker);
  layers->recover();
  images = std::make_unique<ImageStore>(*database, *layers);
  images->recover();
}

Image StoreFixture::add(const TestImage& image, const std::vector<std::string>& names, const Digest& parent) {
  std::vector<std::unique_ptr<storage::LayerWriter>> writers;
  std::vector<storage::LayerWriter*> raw;
  for (const std::string& layer : image.layers) {
    writers.push_back(layers->begin());
    writers.back()->write(layer);
    raw.push_back(writers.back().get());
  }
  if (!raw.empty()) layers->commit_all(raw, {}, "pull:test");
  NewImage add{image.config, parent, {}};
  for (const std::string& name : names) add.references.push_back(Reference::parse(name).with_default_tag());
  Image out = images->add(add);
  layers->release_owner("pull:test");
  return out;
}

std::string StoreFixture::read_layer(const Digest& chain_id) {
  const TempFile file;
  layers->read_tar(chain_id, file.fd());
  return file.content();
}

std::string StoreFixture::leftovers() {
  layers->wait_for_deletions();
  std::string out;
  for (const Image& image : images->list()) out += concat("image ", image.id.text(), "\n");
  for (const storage::Layer& layer : layers->list()) out += concat("layer ", layer.chain_id.text(), "\n");
  for (const std::string& directory : {paths.tmp(), paths.layers(), paths.partial()}) {
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()), ::closedir);
    while (const dirent* entry = dir ? ::readdir(dir.get()) : nullptr) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") out += concat(directory, "/", name, "\n");
    }
  }
  return out;
}

}  // namespace mydocker::image::test
