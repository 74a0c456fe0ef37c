#pragma once

#include <functional>
#include <string>
#include <thread>

#include "engine/base/unique_fd.h"

namespace mydocker::network {

/// Watches what other programs do to the host's network, and calls back, from a thread of its own in the network
/// namespace of the thread that made the object:
/// - something of our nftables table was deleted: `nft flush ruleset`, a reloaded firewall (SECURITY R18, N2);
/// - an interface got an IPv4 address (a cable, a VPN that containers shall reach), or net.ipv4.ip_forward was switched
///   (the host became a router, or another engine came).
/// The destructor ends the thread.
class HostWatch {
 public:
  struct Callbacks {
    std::function<void()> table_changed;
    std::function<void()> routing_changed;
  };

  /// What a callback throws as Error is swallowed: the next change is the next try.
  HostWatch(std::string table, Callbacks callbacks);
  ~HostWatch();
  HostWatch(const HostWatch&) = delete;
  HostWatch& operator=(const HostWatch&) = delete;

 private:
  void run();
  /// Reads what is there; true when another program removed something of our table.
  bool read_table_events();
  /// Reads what is there; true when an address came or the host-wide switch was turned.
  bool read_routing_events();

  const std::string table_;
  const Callbacks callbacks_;
  UniqueFd tables_;
  UniqueFd routing_;
  UniqueFd stop_;
  bool touched_ = false;  ///< by the transaction whose end has not been seen yet
  std::thread thread_;
};

}  // namespace mydocker::network
