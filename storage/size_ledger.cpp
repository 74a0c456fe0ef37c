#include "storage/size_ledger.h"

namespace mydocker::storage {
namespace {

constexpr std::string_view create_table = R"(
  CREATE TABLE IF NOT EXISTS tree_sizes (
    tree TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL,
    measured_at INTEGER NOT NULL  -- nanoseconds since 1970
  ) STRICT;
)";

}  // namespace

SizeLedger::SizeLedger(Database& database) : database_(database) {
  database.transaction([](Connection& db) { db.execute(create_table); });
}

std::map<std::string, TreeSize> SizeLedger::load() {
  return database_.transaction([](Connection& db) {
    std::map<std::string, TreeSize> sizes;
    Statement statement = db.prepare("SELECT tree, bytes, measured_at FROM tree_sizes");
    while (statement.step()) sizes[statement.text(0)] = TreeSize{statement.integer(1), statement.integer(2)};
    return sizes;
  });
}

void SizeLedger::keep(const std::string& key, const TreeSize& size) {
  database_.transaction(
      [&](Connection& db) {
        db.prepare("INSERT OR REPLACE INTO tree_sizes (tree, bytes, measured_at) VALUES (?, ?, ?)")
            .bind(key)
            .bind(size.bytes)
            .bind(size.measured_at)
            .step();
      },
      Durability::crash);
}

void SizeLedger::forget(const std::vector<std::string>& keys) {
  if (keys.empty()) return;
  database_.transaction([&](Connection& db) {
    for (const std::string& key : keys) db.prepare("DELETE FROM tree_sizes WHERE tree = ?").bind(key).step();
  });
}

}  // namespace mydocker::storage
