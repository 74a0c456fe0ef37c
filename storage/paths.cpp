#include "storage/paths.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>

#include "engine/base/error.h"
#include "engine/base/sys.h"

namespace mydocker::storage {
namespace {

constexpr std::size_t longest_volume_name = 255;

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

void make_private(const std::string& path, mode_t mode) {
  make_dirs(path, mode);
  if (::chmod(path.c_str(), mode) != 0) throw sys_error("chmod ", path);  // whatever the umask was
}

/// Ext4 then puts each directory made in `path`, that is each layer, into another part of the disk. Otherwise a new
/// layer's files are looked for beside those of a layer that was just deleted, whose inodes ext4 steps over one by one
/// for half a minute: unpacking took ten times as long. Other file systems have no such flag and need none.
void spread_children(const std::string& path) {
  const UniqueFd directory = open_file(path, O_RDONLY | O_DIRECTORY);
  int flags = 0;
  if (::ioctl(directory.get(), FS_IOC_GETFLAGS, &flags) != 0 || (flags & FS_TOPDIR_FL) != 0) return;
  flags |= FS_TOPDIR_FL;
  ::ioctl(directory.get(), FS_IOC_SETFLAGS, &flags);
}

}  // namespace

bool is_container_id(std::string_view id) noexcept {
  return id.size() == 64 &&
         std::all_of(id.begin(), id.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_volume_name(std::string_view name) noexcept {
  return name.size() >= 2 && name.size() <= longest_volume_name && is_alphanumeric(name[0]) &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return is_alphanumeric(c) || c == '_' || c == '.' || c == '-'; });
}

Paths::Paths(std::string data_root) : data_root_(std::move(data_root)) {
  if (data_root_.empty() || data_root_[0] != '/') {
    throw Error(ErrorKind::invalid_argument, concat("data-root \"", data_root_, "\" is not an absolute path"));
  }
  while (data_root_.size() > 1 && data_root_.back() == '/') data_root_.pop_back();
}

void Paths::prepare() const {
  make_private(data_root_, 0710);
  for (const std::string& path : {layers(), partial(), containers(), volumes(), tmp()}) make_private(path, 0700);
  spread_children(tmp());  // layers are born here
}

std::string Paths::state_db() const { return data_root_ + "/state.db"; }
std::string Paths::layers() const { return data_root_ + "/layers"; }

std::string Paths::layer(const Digest& chain_id) const {
  if (chain_id.empty()) throw Error(ErrorKind::invalid_argument, "layer path: no chain ID");
  return concat(data_root_, "/layers/", chain_id.hex());
}

std::string Paths::layer_tree(const Digest& chain_id) const { return layer(chain_id) + "/tree"; }
std::string Paths::layer_recipe(const Digest& chain_id) const { return layer(chain_id) + "/recipe"; }
std::string Paths::partial() const { return data_root_ + "/partial"; }
std::string Paths::containers() const { return data_root_ + "/containers"; }

std::string Paths::container(std::string_view id) const {
  if (!is_container_id(id)) throw Error(ErrorKind::invalid_argument, concat("\"", id, "\" is no container ID"));
  return concat(data_root_, "/containers/", id);
}

std::string Paths::upper(std::string_view id) const { return container(id) + "/upper"; }
std::string Paths::work(std::string_view id) const { return container(id) + "/work"; }
std::string Paths::init_layer() const { return data_root_ + "/init-layer"; }
std::string Paths::volumes() const { return data_root_ + "/volumes"; }

std::string Paths::volume(std::string_view name) const {
  if (!is_volume_name(name)) throw Error(ErrorKind::invalid_argument, concat("\"", name, "\" is no volume name"));
  return concat(data_root_, "/volumes/", name);
}

std::string Paths::volume_data(std::string_view name) const { return volume(name) + "/_data"; }
std::string Paths::tmp() const { return data_root_ + "/tmp"; }

}  // namespace mydocker::storage
