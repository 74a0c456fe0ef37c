#pragma once

#include <functional>
#include <string>
#include <thread>

#include "engine/base/unique_fd.h"

namespace mydocker::network {

/// Watches one nftables table and calls back when another program has deleted something of it: `nft flush ruleset`, a
/// reloaded firewall (SECURITY R18, N2). A thread of its own, in the network namespace of the thread that made the
/// object; the destructor ends it.
class TableWatch {
 public:
  /// `restore` runs on the watching thread; what it throws is logged by nobody and tried again at the next change.
  TableWatch(std::string table, std::function<void()> restore);
  ~TableWatch();
  TableWatch(const TableWatch&) = delete;
  TableWatch& operator=(const TableWatch&) = delete;

 private:
  void run();
  /// Reads what is there; true when another program removed something of our table.
  bool read_events();

  const std::string table_;
  const std::function<void()> restore_;
  UniqueFd socket_;
  UniqueFd stop_;
  bool touched_ = false;  ///< by the transaction whose end has not been seen yet
  std::thread thread_;
};

}  // namespace mydocker::network
