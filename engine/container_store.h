#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/base/database.h"
#include "engine/container.h"

namespace mydocker::engine {

/// All containers in memory, and their rows. Memory: I/O thread only. The `*_row` functions block on the disk and are
/// for the database thread; they take values and touch no memory of ours.
class ContainerStore {
 public:
  /// Exact full ID, then exact name (slash optional), then unique ID prefix (WIRE 13). Throws Error{not_found}
  /// "No such container: x", Error{invalid_argument} "multiple IDs found with provided prefix: x".
  ContainerPtr get(const std::string& id_or_name) const;
  /// By full ID; nullptr when there is none.
  ContainerPtr find_by_id(const std::string& id) const;
  ContainerPtr find_by_name(const std::string& name) const;
  bool is_name_taken(const std::string& name) const { return names_.contains(name); }
  /// Throws Error{conflict} in Docker's words when the name is taken.
  void reserve_name(const std::string& name, const std::string& id);
  void release_name(const std::string& name) { names_.erase(name); }

  void add(const ContainerPtr& container);
  void remove(const std::string& id);
  void rename(const ContainerPtr& container, const std::string& new_name);
  /// Newest first.
  std::vector<ContainerPtr> list() const;
  std::size_t count(const std::function<bool(const Container&)>& test) const;

  static void prepare_tables(Database& database);
  static void insert_row(Database& database, const ContainerRecord& record);
  static void update_row(Database& database, const ContainerRecord& record);
  static void delete_row(Database& database, const std::string& id);
  static std::vector<ContainerRecord> load_rows(Database& database);

 private:
  std::map<std::string, ContainerPtr> by_id_;
  std::map<std::string, std::string> names_;  ///< name -> id, reserved ones included
};

}  // namespace mydocker::engine
