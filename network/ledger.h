#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "network/network_store.h"
#include "network/networks.h"
#include "network/port_mapping.h"
#include "network/records.h"
#include "network/rules.h"

namespace mydocker::network {

/// The books: which networks and endpoints there are, which addresses and ports are taken. Rows in the database and
/// their mirror in memory; nothing here touches a link or a rule.
///
/// Thread-safe: one mutex over the mirror, not held while the disk is asked. An endpoint is *hidden* from its
/// reservation until it is published and again while it leaves: its ports are taken, but no rule set contains them.
class Ledger {
 public:
  /// Loads the rows and adds the built-in networks. `options` must outlive it.
  Ledger(Database& database, const Options& options);

  std::vector<NetworkRecord> networks();
  std::optional<NetworkRecord> find(std::string_view name_or_id);
  NetworkRecord get(std::string_view name_or_id);
  /// Those of bridge driver: what has a link and rules.
  std::vector<NetworkRecord> bridge_networks();
  /// Without the hidden ones.
  std::vector<EndpointRecord> endpoints(const std::function<bool(const EndpointRecord&)>& wanted);
  /// With the hidden ones.
  std::vector<EndpointRecord> all_endpoints_of(std::string_view container_id);

  /// The bridge's link index, 0 as long as nobody has looked at the bridge.
  int bridge_index(const std::string& network_id);
  void set_bridge_index(const std::string& network_id, int index);

  /// Addresses, ports and row of a new endpoint, hidden. All or nothing.
  Attachment reserve(const AttachRequest& request, const NetworkRecord& network);
  void hide(const std::vector<EndpointRecord>& endpoints);
  void show(const EndpointRecord& endpoint);
  /// Drops the rows and gives addresses and ports back.
  void forget(const std::vector<EndpointRecord>& endpoints);
  /// Hides the endpoints of all other containers and returns them.
  std::vector<EndpointRecord> hide_all_but(const std::set<std::string>& container_ids);

  /// Checks and records a network of a request.
  NetworkRecord add(const NetworkCreate& request);
  /// Takes it out of the mirror, so that no attach finds it any more. Throws Error{forbidden} while it has endpoints.
  void close(const NetworkRecord& network);
  /// Undoes close.
  void reopen(const NetworkRecord& network);
  void remove_row(const std::string& network_id) { store_.remove_network(network_id); }

  /// What the rule set is made from now.
  RuleSet make_rules();
  NetworkStore& store() { return store_; }

 private:
  struct NetworkState {
    NetworkRecord record;
    std::set<Ipv4Address> taken;
    std::optional<Ipv4Address> last_address;
    int bridge_index = 0;
  };
  struct EndpointState {
    EndpointRecord record;
    bool hidden = false;
  };

  void load();
  void add_predefined();
  NetworkRecord update_default_bridge(const NetworkRecord& old);
  void insert(NetworkRecord record, std::optional<Ipv4Address> last_address);
  std::vector<Ipv4Network> ranges(std::string_view except = {}) const;
  /// Of the host, without those to our bridges.
  std::vector<Ipv4Network> foreign_routes() const;
  NetworkState& state_of(const NetworkRecord& network);
  void choose_address(const AttachRequest& request, NetworkState& network, Attachment& attachment);
  void choose_ports(const AttachRequest& request, const NetworkState& network, Attachment& attachment);
  void release(const EndpointRecord& endpoint);

  NetworkStore store_;
  const Options& options_;
  std::mutex mutex_;
  std::map<std::string, NetworkState> networks_;    ///< by ID
  std::vector<std::string> order_;                  ///< network IDs by creation
  std::map<std::string, EndpointState> endpoints_;  ///< by endpoint ID
  PortAllocator ports_;
};

/// What an endpoint of a bridge network has in the rule set.
EndpointRules make_endpoint_rules(const EndpointRecord& endpoint);
bool is_bridged(const NetworkRecord& network);

}  // namespace mydocker::network
