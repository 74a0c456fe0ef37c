#pragma once

#include <string>

#include "engine/base/sys.h"
#include "storage/layer_store.h"

namespace mydocker::image {

/// Owner of layers that are being fetched or loaded for an image which does not exist yet. Gives them back when it
/// goes, whatever happened; after a crash LayerStore::recover() does.
class LayerHold {
 public:
  explicit LayerHold(storage::LayerStore& layers) : layers_(layers), owner_(concat("pull:", random_hex(16))) {}
  ~LayerHold() {
    try {
      layers_.release_owner(owner_);
    } catch (const Error&) {  // they stay until the next start: recover() drops owners of this kind
    }
  }
  LayerHold(const LayerHold&) = delete;
  LayerHold& operator=(const LayerHold&) = delete;

  const std::string& owner() const { return owner_; }

 private:
  storage::LayerStore& layers_;
  std::string owner_;
};

}  // namespace mydocker::image
