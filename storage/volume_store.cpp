#include "storage/volume_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <set>

#include "engine/base/failpoint.h"
#include "engine/base/json.h"
#include "engine/base/sys.h"
#include "storage/tar_walk.h"
#include "storage/trash.h"

namespace mydocker::storage {
namespace {

using StringMap = std::map<std::string, std::string>;

constexpr std::int64_t provisional = 2;
constexpr std::string_view create_table = R"(
  CREATE TABLE IF NOT EXISTS volumes (
    name TEXT PRIMARY KEY,
    labels TEXT,   -- JSON object, or null when none were given
    options TEXT,
    anonymous INTEGER NOT NULL,  -- 0, 1, or 2: provisional
    created INTEGER NOT NULL  -- nanoseconds since 1970
  ) STRICT;
)";

constexpr std::string_view columns = "SELECT name, labels, options, anonymous, created FROM volumes ";

Error no_such_volume(std::string_view name) {
  return Error(ErrorKind::not_found, concat("get ", name, ": no such volume"));
}

/// The local driver's options are mount(8)'s: they come together or not at all.
void check_options(const std::string& name, const StringMap& options) {
  for (const auto& [key, value] : options) {
    if (key == "size") {
      throw Error(
          ErrorKind::invalid_argument,
          concat("create ", name, ": quota size requested but no quota support: the option \"size\" needs one"));
    }
    if (key != "type" && key != "o" && key != "device") {
      throw Error(ErrorKind::invalid_argument, concat("create ", name, ": invalid option: \"", key, "\""));
    }
  }
  if (options.empty()) return;
  for (const char* required : {"device", "type"}) {
    const auto found = options.find(required);
    if (found == options.end() || found->second.empty()) {
      throw Error(ErrorKind::invalid_argument,
                  concat("create ", name, ": missing required option: \"", required, "\""));
    }
  }
}

void check_request(const VolumeRequest& request) {
  if (request.driver != "local" && !request.driver.empty()) {
    throw Error(ErrorKind::not_found, concat("error looking up volume plugin ", request.driver, ": plugin \"",
                                             request.driver, "\" not found"));
  }
  const std::string& name = request.name;
  if (name.size() == 1) {
    throw Error(
        ErrorKind::invalid_argument,
        concat("create ", name, ": volume name is too short, names should be at least two alphanumeric characters"));
  }
  if (!name.empty() && !is_volume_name(name)) {
    throw Error(ErrorKind::invalid_argument,
                concat("create ", name, ": \"", name,
                       "\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are "
                       "allowed. If you intended to pass a host directory, use absolute path"));
  }
  check_options(name, request.options.value_or(StringMap{}));
}

void bind_map(Statement& statement, const std::optional<StringMap>& map) {
  if (map) {
    statement.bind(write_json(to_json(*map)));
  } else {
    statement.bind_null();
  }
}

StringMap read_map(const Statement& statement, int column) {
  StringMap map;
  if (!statement.is_null(column)) read_json(parse_json(statement.text(column)), "", map);
  return map;
}

}  // namespace

struct VolumeStore::Impl {
  Impl(Database& database_, const Paths& paths_, WorkerOptions worker_)
      : database(database_), paths(paths_), worker(std::move(worker_)), trash(paths_.tmp()) {}

  Volume read(const Statement& statement) const {
    Volume volume;
    volume.name = statement.text(0);
    volume.has_labels = !statement.is_null(1);
    volume.labels = read_map(statement, 1);
    volume.has_options = !statement.is_null(2);
    volume.options = read_map(statement, 2);
    volume.anonymous = statement.integer(3) != 0;
    volume.created = from_unix_nanoseconds(statement.integer(4));
    volume.mountpoint = paths.volume_data(volume.name);
    return volume;
  }

  std::optional<Volume> find(std::string_view name) {
    return database.transaction([&](Connection& db) -> std::optional<Volume> {
      Statement statement = db.prepare(concat(columns, "WHERE name = ?"));
      statement.bind(name);
      return statement.step() ? std::optional<Volume>(read(statement)) : std::nullopt;
    });
  }

  void forget(std::string_view name) {
    database.transaction([&](Connection& db) {
      Statement statement = db.prepare("DELETE FROM volumes WHERE name = ?");
      statement.bind(name).step();
    });
  }

  /// Directory and data of a recorded volume; idempotent.
  void make_directories(std::string_view name) const {
    if (::mkdir(paths.volume(name).c_str(), 0700) != 0 && errno != EEXIST) throw sys_error("mkdir volume ", name);
    const std::string data = paths.volume_data(name);
    if (::mkdir(data.c_str(), 0755) == 0) {
      if (::chmod(data.c_str(), 0755) != 0) throw sys_error("chmod ", data);  // whatever the umask was
    } else if (errno != EEXIST) {
      throw sys_error("mkdir ", data);
    }
  }

  Database& database;
  Paths paths;
  WorkerOptions worker;
  Trash trash;
  std::mutex mutex;  ///< of rows and directories together
};

VolumeStore::VolumeStore(Database& database, const Paths& paths, WorkerOptions worker)
    : impl_(std::make_unique<Impl>(database, paths, std::move(worker))) {
  database.transaction([](Connection& db) { db.execute(create_table); });
}
VolumeStore::~VolumeStore() = default;

Volume VolumeStore::create(const VolumeRequest& request) {
  const std::scoped_lock lock(impl_->mutex);
  if (!request.name.empty()) {
    if (std::optional<Volume> existing = impl_->find(request.name)) return *existing;
  }
  check_request(request);
  const std::string name = request.name.empty() ? make_random_id() : request.name;
  const Timestamp created = now();
  impl_->database.transaction([&](Connection& db) {
    Statement insert =
        db.prepare("INSERT INTO volumes (name, labels, options, anonymous, created) VALUES (?, ?, ?, ?, ?)");
    insert.bind(name);
    bind_map(insert, request.labels);
    bind_map(insert, request.options);
    insert.bind(request.name.empty() ? request.provisional ? provisional : 1 : std::int64_t{0})
        .bind(to_unix_nanoseconds(created))
        .step();
  });
  failpoint("volume.recorded");
  try {
    impl_->make_directories(name);
  } catch (const Error&) {
    impl_->forget(name);
    throw;
  }
  return *impl_->find(name);
}

void VolumeStore::claim(std::string_view name) {
  impl_->database.transaction([&](Connection& db) {
    db.prepare("UPDATE volumes SET anonymous = 1 WHERE name = ? AND anonymous = ?").bind(name).bind(provisional).step();
  });
}

void VolumeStore::renounce(std::string_view name) {
  impl_->database.transaction([&](Connection& db) {
    db.prepare("UPDATE volumes SET anonymous = ? WHERE name = ? AND anonymous = 1").bind(provisional).bind(name).step();
  });
}

std::optional<Volume> VolumeStore::find(std::string_view name) { return impl_->find(name); }

Volume VolumeStore::get(std::string_view name) {
  std::optional<Volume> volume = impl_->find(name);
  if (!volume) throw no_such_volume(name);
  return std::move(*volume);
}

std::vector<Volume> VolumeStore::list() {
  return impl_->database.transaction([&](Connection& db) {
    std::vector<Volume> volumes;
    Statement statement = db.prepare(concat(columns, "ORDER BY name"));
    while (statement.step()) volumes.push_back(impl_->read(statement));
    return volumes;
  });
}

void VolumeStore::remove(std::string_view name) {
  const std::scoped_lock lock(impl_->mutex);
  if (!impl_->find(name)) throw no_such_volume(name);
  impl_->forget(name);
  failpoint("volume.forgotten");
  impl_->trash.discard(impl_->paths.volume(name));
}

bool VolumeStore::copy_up(std::string_view name, const OverlayMount& stack, const std::string& path) {
  const Volume volume = get(name);
  const UniqueFd data = open_file(volume.mountpoint, O_RDONLY | O_DIRECTORY);
  if (!list_directory(data.get()).empty() || stack.lower.empty() || !volume.options.empty()) return false;
  // Filled aside and renamed over the empty directory: complete or not there at all.
  const std::string aside = impl_->trash.make_name("volume");
  if (::mkdir(aside.c_str(), 0700) != 0) throw sys_error("mkdir ", aside);
  try {
    const UniqueFd target = open_file(aside, O_RDONLY | O_DIRECTORY);
    WorkerRequest request;
    request.job = "copy_up";
    request.limits = impl_->worker.limits;
    request.stack.lower = stack.lower;  // a stack that somebody may write to is none of the worker's
    request.source_path = path;
    bool copied = WorkerProcess(impl_->worker, request, target.get(), WorkerPipe::none).finish().copied;
    if (copied) {
      failpoint("volume.copied");
      if (::syncfs(target.get()) != 0) throw sys_error("sync volume ", name);
      const std::scoped_lock lock(impl_->mutex);
      copied = ::rename(aside.c_str(), volume.mountpoint.c_str()) == 0;
      if (!copied && errno != ENOTEMPTY && errno != EEXIST) throw sys_error("rename ", aside);
    }
    if (!copied) impl_->trash.discard(aside);
    return copied;
  } catch (Error& error) {
    impl_->trash.discard(aside);
    error.add_context(concat("copy image content to volume ", name));
    throw;
  }
}

std::int64_t VolumeStore::size_bytes(std::string_view name) {
  const UniqueFd data = open_file(get(name).mountpoint, O_RDONLY | O_DIRECTORY);
  WorkerRequest request;
  request.job = "size";
  request.limits = impl_->worker.limits;
  return WorkerProcess(impl_->worker, request, data.get(), WorkerPipe::none).finish().size_bytes;
}

void VolumeStore::recover() {
  const std::scoped_lock lock(impl_->mutex);
  impl_->database.transaction(
      [](Connection& db) { db.prepare("DELETE FROM volumes WHERE anonymous = ?").bind(provisional).step(); });
  std::set<std::string> known;
  for (const Volume& volume : list()) {
    impl_->make_directories(volume.name);
    known.insert(volume.name);
  }
  const UniqueFd directory = open_file(impl_->paths.volumes(), O_RDONLY | O_DIRECTORY);
  for (const std::string& name : list_directory(directory.get())) {
    if (!known.contains(name)) impl_->trash.discard(concat(impl_->paths.volumes(), "/", name));
  }
}

}  // namespace mydocker::storage
