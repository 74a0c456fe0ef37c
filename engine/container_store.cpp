#include "engine/container_store.h"

#include <algorithm>

#include "engine/base/json.h"

namespace mydocker::engine {

ContainerPtr ContainerStore::find_by_id(const std::string& id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second;
}

ContainerPtr ContainerStore::find_by_name(const std::string& name) const {
  const auto found = names_.find(name.starts_with("/") ? name.substr(1) : name);
  return found == names_.end() ? nullptr : find_by_id(found->second);
}

ContainerPtr ContainerStore::get(const std::string& id_or_name) const {
  if (ContainerPtr exact = find_by_id(id_or_name)) return exact;
  if (ContainerPtr named = find_by_name(id_or_name)) return named;
  const auto first = id_or_name.empty() ? by_id_.end() : by_id_.lower_bound(id_or_name);
  if (first == by_id_.end() || !first->first.starts_with(id_or_name)) {
    throw Error(ErrorKind::not_found, concat("No such container: ", id_or_name));
  }
  const auto second = std::next(first);
  if (second != by_id_.end() && second->first.starts_with(id_or_name)) {
    throw Error(ErrorKind::invalid_argument, concat("multiple IDs found with provided prefix: ", id_or_name));
  }
  return first->second;
}

void ContainerStore::reserve_name(const std::string& name, const std::string& id) {
  const auto [entry, fresh] = names_.emplace(name, id);
  if (fresh) return;
  throw Error(ErrorKind::conflict,
              concat("Conflict. The container name \"/", name, "\" is already in use by container \"", entry->second,
                     "\". You have to remove (or rename) that container to be able to reuse that name."));
}

void ContainerStore::add(const ContainerPtr& container) {
  names_[container->name()] = container->id();
  by_id_[container->id()] = container;
}

void ContainerStore::remove(const std::string& id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return;
  names_.erase(found->second->name());
  by_id_.erase(found);
}

void ContainerStore::rename(const ContainerPtr& container, const std::string& new_name) {
  names_.erase(container->name());
  names_[new_name] = container->id();
  container->record.name = new_name;
}

std::vector<ContainerPtr> ContainerStore::list() const {
  std::vector<ContainerPtr> all;
  all.reserve(by_id_.size());
  for (const auto& [id, container] : by_id_) all.push_back(container);
  std::sort(all.begin(), all.end(), [](const ContainerPtr& a, const ContainerPtr& b) {
    return std::pair(b->record.created, b->id()) < std::pair(a->record.created, a->id());
  });
  return all;
}

std::size_t ContainerStore::count(const std::function<bool(const Container&)>& test) const {
  return static_cast<std::size_t>(
      std::count_if(by_id_.begin(), by_id_.end(), [&](const auto& entry) { return test(*entry.second); }));
}

void ContainerStore::prepare_tables(Database& database) {
  database.transaction([](Connection& connection) {
    connection.execute(
        "CREATE TABLE IF NOT EXISTS containers (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, record TEXT NOT NULL)");
  });
}

void ContainerStore::insert_row(Database& database, const ContainerRecord& record) {
  const std::string document = write_json(to_json(record));
  database.transaction([&](Connection& connection) {
    connection.prepare("INSERT INTO containers (id, name, record) VALUES (?, ?, ?)")
        .bind(record.id)
        .bind(record.name)
        .bind(document)
        .step();
  });
}

void ContainerStore::update_row(Database& database, const ContainerRecord& record) {
  const std::string document = write_json(to_json(record));
  database.transaction([&](Connection& connection) {
    connection.prepare("UPDATE containers SET name = ?2, record = ?3 WHERE id = ?1")
        .bind(record.id)
        .bind(record.name)
        .bind(document)
        .step();
  });
}

void ContainerStore::delete_row(Database& database, const std::string& id) {
  database.transaction(
      [&](Connection& connection) { connection.prepare("DELETE FROM containers WHERE id = ?").bind(id).step(); });
}

std::vector<ContainerRecord> ContainerStore::load_rows(Database& database) {
  return database.transaction([](Connection& connection) {
    std::vector<ContainerRecord> records;
    Statement rows = connection.prepare("SELECT record FROM containers");
    while (rows.step()) records.push_back(from_json<ContainerRecord>(parse_json(rows.text(0)), "containers.record"));
    return records;
  });
}

}  // namespace mydocker::engine
