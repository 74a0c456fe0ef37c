#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/database.h"
#include "network/ipam.h"
#include "network/records.h"

namespace mydocker::network {

/// The daemon's settings for networks.
struct Options {
  std::string bridge_name = "mydocker0";  ///< interface of the default network
  std::string bip;                        ///< "10.5.0.1/24": address of the default bridge; "" = first free pool
  std::uint32_t mtu = 1500;
  bool icc = true;
  bool ip_masq = true;
  bool ip_forward = true;                   ///< may turn forwarding on where it is off
  std::string table = "mydocker";           ///< nftables table, one of family inet and one of family bridge
  std::string default_host_ip = "0.0.0.0";  ///< host address of ports published without one
  std::vector<AddressPool> pools = default_address_pools();
};

/// All networks of the engine: records, addresses, bridges, rules and links. No program is executed; other programs'
/// tables, chains and policies are never touched (SECURITY R18).
///
/// Source of truth: the database (networks, endpoints, published ports). A row is committed before the kernel object is
/// made and deleted after it is gone, so that `recover` finds whatever a crash left.
/// Acts on the network namespace of the calling threads, which must be one and the same.
/// Thread-safe. Blocks on the disk (one commit) and on the kernel; waits for no container. A lock is held for the
/// allocation only, so attaches run in parallel.
class Networks {
 public:
  /// Makes the tables and the records of the three built-in networks where they are missing; nothing in the kernel.
  /// Throws Error{invalid_argument} for a bad `bip`, pool or bridge name.
  Networks(Database& database, Options options);
  ~Networks();
  Networks(const Networks&) = delete;
  Networks& operator=(const Networks&) = delete;

  /// All networks, built-in ones first, then by creation.
  std::vector<NetworkRecord> list();
  /// By name, then ID, then unique ID prefix. Throws Error{invalid_argument} "multiple IDs found with provided prefix:
  /// 4a".
  std::optional<NetworkRecord> find(std::string_view name_or_id);
  /// As find; throws Error{not_found} "network x not found".
  NetworkRecord get(std::string_view name_or_id);

  /// A user-defined network: record, bridge, rules. Error kinds and texts: WIRE 24.
  NetworkRecord create(const NetworkCreate& request);
  /// Throws Error{forbidden} for a predefined network or one with endpoints, Error{not_found}.
  void remove(std::string_view name_or_id);

  /// Default bridge, rule set and per-interface switches: idempotent, cheap when all is there. attach calls it.
  void prepare();

  /// Connects a network namespace: address, veth, default route, published ports. Also brings `lo` up.
  /// "host" and "none" have no link: an endpoint record without addresses is the result.
  /// Throws Error{not_found} "network x not found"; Error{conflict} "endpoint with name web already exists in network
  /// n"; Error{forbidden} "Address already in use"; Error{invalid_argument} for addresses outside the network;
  /// Error{internal} "driver failed programming external connectivity on endpoint web (<id>): Bind for 0.0.0.0:8080
  /// failed: port is already allocated". After a throw nothing is left behind.
  Attachment attach(const AttachRequest& request);

  /// Forgets the container's endpoints: published ports, rules, addresses. Idempotent. The veth is left to die with its
  /// namespace: deleting it would take 17-31 ms.
  void detach(std::string_view container_id);
  /// One network only, of a container that runs on: deletes the veth too (slow). Throws Error{internal}
  /// "container x is not connected to network n".
  void disconnect(std::string_view container_id, std::string_view network_id);

  /// The endpoints of a container; those of a network.
  std::vector<EndpointRecord> endpoints_of_container(std::string_view container_id);
  std::vector<EndpointRecord> endpoints_of_network(std::string_view network_id);

  /// After a start of the engine: forgets the endpoints of all other containers, makes bridges and rules of the
  /// remaining ones anew where they are missing (one atomic replacement). Then starts to watch.
  void recover(const std::vector<std::string>& live_container_ids);

  /// Watches the host from a thread of its own: when another program flushes or deletes our table, it is back at once;
  /// interfaces that come later (a cable, a VPN) are reached by containers, too. recover does it.
  void start_watch();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// Brings `lo` up inside a namespace ("none", and `container:` owners). Throws Error{internal}.
void setup_loopback(int netns_fd);

/// What on this host keeps containers from the network, as sentences for `info` and network warnings: a foreign FORWARD
/// policy of DROP, forwarding that is off, a kernel that lacks a part. Reads the kernel, changes nothing.
std::vector<std::string> host_warnings(const std::string& bridge_name = "mydocker0",
                                       const std::string& table = "mydocker");

}  // namespace mydocker::network
