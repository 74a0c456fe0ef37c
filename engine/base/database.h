#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

/// The engine's one SQLite database (`state.db`; WAL, synchronous=FULL: an acknowledged change survives a power cut).
/// Part of the target `base_store`: never in the static programs.
namespace mydocker {

/// One prepared statement in use. Lives only inside Database::run.
class Statement {
 public:
  Statement(sqlite3* db, sqlite3_stmt* statement) : db_(db), statement_(statement) {}
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement();

  /// Binds the next parameter.
  Statement& bind(std::string_view text);
  Statement& bind(std::int64_t number);
  Statement& bind_blob(std::string_view bytes);
  Statement& bind_null();
  /// Advances to the next row; false at the end. A broken uniqueness throws Error{conflict}, all else Error{internal}.
  bool step();
  std::string text(int column) const;
  std::int64_t integer(int column) const;
  bool is_null(int column) const;

 private:
  sqlite3* db_;
  sqlite3_stmt* statement_;
  int next_parameter_ = 1;
};

/// What a transaction sees.
class Connection {
 public:
  /// The statement for this SQL text, prepared once and kept.
  Statement prepare(std::string_view sql);
  void execute(std::string_view sql);

 private:
  friend class Database;
  sqlite3* db_ = nullptr;
  std::vector<std::pair<std::string, sqlite3_stmt*>> cache_;
};

/// What a committed change survives.
enum class Durability {
  power_cut,  ///< everything: the disk has it
  crash,  ///< the end of the process, not of the machine: for facts about kernel objects, which a reboot ends anyway
};

/// Thread-safe: one mutex, held for a whole transaction. Blocks on the disk; coroutines of the engine call it through
/// their one-thread database pool (STYLE 3.7).
class Database {
 public:
  /// Opens or makes the file (mode 0600). Throws Error{internal}.
  explicit Database(const std::string& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// Runs `work` in one transaction: committed (durably) when it returns, rolled back when it throws. A transaction
  /// begun inside `work` by the same thread joins it: all commits at the end, once; a failure of a joined one dooms the
  /// whole. A joined one is as durable as the outermost.
  template <typename Work>
  auto transaction(Work&& work, Durability durability = Durability::power_cut) {
    const std::scoped_lock lock(mutex_);  // recursive: see above
    begin(durability);
    try {
      if constexpr (std::is_void_v<decltype(work(connection_))>) {
        work(connection_);
        commit();
      } else {
        auto result = work(connection_);
        commit();
        return result;
      }
    } catch (...) {  // whatever it was: nothing of it stays
      rollback();
      throw;
    }
  }

 private:
  void begin(Durability durability);
  void commit();
  void rollback() noexcept;

  std::recursive_mutex mutex_;
  int depth_ = 0;
  Durability durability_ = Durability::power_cut;  ///< what SQLite is set to
  bool doomed_ = false;
  Connection connection_;
};

}  // namespace mydocker
