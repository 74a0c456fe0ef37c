// storage_steps DATA_ROOT: goes through the life of two layers, a container and a volume, so that a test can break it
// at any failpoint or run it on a full disk. Prints what went wrong.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "engine/base/sys.h"
#include "storage/container_layers.h"
#include "storage/layer_store.h"
#include "storage/volume_store.h"
#include "tests/unit/storage/tar_builder.h"

namespace mydocker::storage::test {
namespace {

void go(const std::string& data_root, std::size_t file_bytes) {
  const Paths paths(data_root);
  paths.prepare();
  Database database(paths.state_db());
  WorkerOptions worker;
  worker.program = MYDOCKER_WORKER_PROGRAM;
  if (const char* failpoints = std::getenv("MYDOCKER_FAILPOINTS")) {
    worker.environment.push_back(concat("MYDOCKER_FAILPOINTS=", failpoints));
  }
  LayerStore store(database, paths, worker);
  ContainerLayers containers(store, paths, worker);
  VolumeStore volumes(database, paths, worker);

  const auto add = [&](std::string_view name, const Digest& parent) {
    const auto writer = store.begin();
    // Not compressible, so that no file system can store it away as nothing.
    std::string content = random_hex(512);
    while (content.size() < file_bytes) content += content;
    content.resize(file_bytes);
    writer->write(TarBytes().directory("d").file(name, content).finish());
    return writer->commit(parent, {}, "image:x");
  };
  const auto live = [&] {
    const Layer bottom = add("d/one", {});
    const Layer top = add("d/two", bottom.chain_id);
    const std::string id(64, 'c');
    store.retain(top.chain_id, "container:" + id);
    containers.create(id);
    VolumeRequest request;
    request.name = "volume";
    volumes.create(request);
    volumes.copy_up("volume", containers.mount(id, top.chain_id), "/d");
    volumes.remove("volume");
    containers.remove(id);
    store.release_owner("container:" + id);
    store.release_owner("image:x");
  };
  try {
    live();
    std::puts("done");
  } catch (const Error& error) {
    std::printf("%s %d: %s\n", std::string(to_string(error.kind())).c_str(), error.errno_value(), error.what());
    store.wait_for_deletions();  // an engine would live on
  }
}

}  // namespace
}  // namespace mydocker::storage::test

int main(int argc, char** argv) {
  const std::size_t file_bytes = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1000;
  try {
    mydocker::storage::test::go(argv[1], file_bytes);
  } catch (const mydocker::Error& error) {
    std::printf("%s %d: %s\n", std::string(to_string(error.kind())).c_str(), error.errno_value(), error.what());
  }
  return 0;
}
