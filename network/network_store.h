#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/database.h"
#include "network/ipam.h"
#include "network/records.h"

/// The rows of networks, endpoints and of the switches that the engine turned. Thread-safe (the database is); blocks on
/// the disk. Networks survive a power cut; endpoints and switches are about kernel objects and need to survive the
/// engine alone, which saves a start and a stop one disk sync each.
namespace mydocker::network {

struct StoredNetwork {
  NetworkRecord record;
  std::optional<Ipv4Address> last_address;  ///< handed out last: the next one comes after it
};

class NetworkStore {
 public:
  /// Makes the tables where they are missing.
  explicit NetworkStore(Database& database);

  /// By creation.
  std::vector<StoredNetwork> networks();
  /// Inserts or replaces. A name of another network throws Error{conflict}.
  void save_network(const NetworkRecord& record);
  void remove_network(const std::string& id);

  std::vector<EndpointRecord> endpoints();
  /// With the network's last address, in one transaction. A second endpoint of the container in the network, or of the
  /// address, throws Error{conflict}.
  void add_endpoint(const EndpointRecord& endpoint);
  void remove_endpoints(const std::vector<std::string>& endpoint_ids);

  /// Interfaces whose forwarding the engine turned on since this boot of this machine.
  std::vector<std::string> forwarding_interfaces();
  void add_forwarding_interface(const std::string& interface);
  void clear_forwarding_interfaces();

 private:
  Database& database_;
  std::string boot_id_;
};

}  // namespace mydocker::network
