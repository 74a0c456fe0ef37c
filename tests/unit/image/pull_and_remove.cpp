#include <cstdio>

#include "image/pull.h"
#include "storage/layer_store.h"

/// What crash_test.cpp kills in the middle: on a data-root, as the engine does, pulls an image and removes it again.
///   pull_and_remove DATA_ROOT REFERENCE
int main(int argc, char** argv) {
  using namespace mydocker;
  if (argc != 3) return 2;
  try {
    const storage::Paths paths(argv[1]);
    Database database(paths.state_db());
    storage::WorkerOptions worker;
    worker.program = MYDOCKER_WORKER_PROGRAM;
    storage::LayerStore layers(database, paths, worker);
    layers.recover();
    image::ImageStore images(database, layers);
    images.recover();
    image::PullerOptions options;
    options.tmp_dir = paths.tmp();
    image::Puller puller(images, options);
    puller.pull({.reference = image::Reference::parse(argv[2])}, [](const image::ProgressMessage&) {});
    images.remove(argv[2], {}, {});
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
