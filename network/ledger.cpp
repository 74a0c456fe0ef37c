#include "network/ledger.h"

#include <linux/netlink.h>

#include <algorithm>

#include "engine/base/error.h"
#include "engine/base/sys.h"
#include "network/link.h"
#include "network/network_plan.h"

namespace mydocker::network {

EndpointRules make_endpoint_rules(const EndpointRecord& endpoint) {
  EndpointRules rules{endpoint.host_interface, Ipv4Address::parse(endpoint.ip), {}};
  for (const PortBinding& port : endpoint.ports) {
    rules.ports.push_back(
        {port.protocol, Ipv4Address::parse(port.host_ip), port.host_port, rules.address, port.container_port});
  }
  return rules;
}

bool is_bridged(const NetworkRecord& network) { return network.driver == "bridge"; }

// --- what was there before -------------------------------------------------------------------------------------------

Ledger::Ledger(Database& database, const Options& options) : store_(database), options_(options) {
  load();
  add_predefined();
}

void Ledger::insert(NetworkRecord record, std::optional<Ipv4Address> last_address) {
  NetworkState state;
  state.last_address = last_address;
  for (const Ipv4Address address : reserved_addresses(record)) state.taken.insert(address);
  const std::string id = record.id;
  state.record = std::move(record);
  networks_.insert_or_assign(id, std::move(state));
  if (std::find(order_.begin(), order_.end(), id) == order_.end()) order_.push_back(id);
}

void Ledger::load() {
  for (StoredNetwork& stored : store_.networks()) insert(std::move(stored.record), stored.last_address);
  for (EndpointRecord& endpoint : store_.endpoints()) {
    const auto network = networks_.find(endpoint.network_id);
    if (network != networks_.end() && !endpoint.ip.empty()) {
      network->second.taken.insert(Ipv4Address::parse(endpoint.ip));
    }
    for (const PortBinding& port : endpoint.ports) ports_.adopt(port);
    const std::string id = endpoint.endpoint_id;
    endpoints_[id].record = std::move(endpoint);
  }
}

std::vector<Ipv4Network> Ledger::ranges(std::string_view except) const {
  std::vector<Ipv4Network> found;
  for (const auto& [id, network] : networks_) {
    if (is_bridged(network.record) && id != except) found.push_back(gateway_of(network.record)->range());
  }
  return found;
}

std::vector<Ipv4Network> Ledger::foreign_routes() const {
  std::set<std::string> ours{options_.bridge_name};
  for (const auto& [id, network] : networks_) ours.insert(network.record.bridge);
  NetlinkSocket route(NETLINK_ROUTE);
  std::set<int> our_indexes;
  for (const Link& link : list_links(route)) {
    if (ours.contains(link.name) && link.kind == "bridge") our_indexes.insert(link.index);
  }
  std::vector<Ipv4Network> found;
  for (const Route& one : list_routes(route)) {
    if (!our_indexes.contains(one.index)) found.push_back(one.destination);
  }
  return found;
}

/// The default bridge keeps its range as long as a container uses it, or nothing speaks against it.
NetworkRecord Ledger::update_default_bridge(const NetworkRecord& old) {
  Ipv4Network gateway = *gateway_of(old);
  const bool used = std::any_of(endpoints_.begin(), endpoints_.end(),
                                [&](const auto& one) { return one.second.record.network_id == old.id; });
  std::vector<Ipv4Network> taken = foreign_routes();
  const bool other_bip = !options_.bip.empty() && Ipv4Network::parse(options_.bip) != gateway;
  const bool clash = std::any_of(taken.begin(), taken.end(), [&](const auto& one) { return one.overlaps(gateway); });
  if (!used && (other_bip || clash)) {
    const std::vector<Ipv4Network> ours = ranges(old.id);
    taken.insert(taken.end(), ours.begin(), ours.end());
    gateway = choose_default_bridge(options_, taken);
  }
  return make_default_bridge(options_, gateway);
}

void Ledger::add_predefined() {
  const auto save = [&](const NetworkRecord* old, NetworkRecord record) {
    record.id = old != nullptr ? old->id : make_random_id();
    record.created = old != nullptr ? old->created : now();
    store_.save_network(record);
    if (old == nullptr) {
      insert(std::move(record), std::nullopt);
      return;
    }
    NetworkState& state = networks_.at(record.id);
    for (const Ipv4Address address : reserved_addresses(state.record)) state.taken.erase(address);
    for (const Ipv4Address address : reserved_addresses(record)) state.taken.insert(address);
    state.record = std::move(record);
  };
  const auto named = [&](std::string_view name) -> const NetworkRecord* {
    for (const auto& [id, network] : networks_) {
      if (network.record.name == name) return &network.record;
    }
    return nullptr;
  };
  if (const NetworkRecord* found = named("bridge")) {
    const NetworkRecord old = *found;
    save(&old, update_default_bridge(old));
  } else {
    std::vector<Ipv4Network> taken = foreign_routes();
    const std::vector<Ipv4Network> ours = ranges();
    taken.insert(taken.end(), ours.begin(), ours.end());
    save(nullptr, make_default_bridge(options_, choose_default_bridge(options_, taken)));
  }
  if (named("host") == nullptr) save(nullptr, make_unbridged("host", "host"));
  if (named("none") == nullptr) save(nullptr, make_unbridged("none", "null"));
}

// --- questions -------------------------------------------------------------------------------------------------------

std::vector<NetworkRecord> Ledger::networks() {
  const std::scoped_lock lock(mutex_);
  std::vector<NetworkRecord> records;
  for (const std::string& id : order_) records.push_back(networks_.at(id).record);
  return records;
}

std::vector<NetworkRecord> Ledger::bridge_networks() {
  std::vector<NetworkRecord> records = networks();
  std::erase_if(records, [](const NetworkRecord& one) { return !is_bridged(one); });
  return records;
}

std::optional<NetworkRecord> Ledger::find(std::string_view name_or_id) {
  const std::scoped_lock lock(mutex_);
  std::vector<const NetworkRecord*> by_prefix;
  const NetworkRecord* by_id = nullptr;
  for (const auto& [id, network] : networks_) {
    if (network.record.name == name_or_id) return network.record;
    if (id == name_or_id) by_id = &network.record;
    if (!name_or_id.empty() && id.starts_with(name_or_id)) by_prefix.push_back(&network.record);
  }
  if (by_id != nullptr) return *by_id;
  if (by_prefix.size() > 1) {
    throw Error(ErrorKind::invalid_argument, concat("multiple IDs found with provided prefix: ", name_or_id));
  }
  if (by_prefix.empty()) return std::nullopt;
  return *by_prefix.front();
}

NetworkRecord Ledger::get(std::string_view name_or_id) {
  if (std::optional<NetworkRecord> found = find(name_or_id)) return std::move(*found);
  throw Error(ErrorKind::not_found, concat("network ", name_or_id, " not found"));
}

std::vector<EndpointRecord> Ledger::endpoints(const std::function<bool(const EndpointRecord&)>& wanted) {
  const std::scoped_lock lock(mutex_);
  std::vector<EndpointRecord> found;
  for (const auto& [id, endpoint] : endpoints_) {
    if (!endpoint.hidden && wanted(endpoint.record)) found.push_back(endpoint.record);
  }
  return found;
}

std::vector<EndpointRecord> Ledger::all_endpoints_of(std::string_view container_id) {
  const std::scoped_lock lock(mutex_);
  std::vector<EndpointRecord> found;
  for (const auto& [id, endpoint] : endpoints_) {
    if (endpoint.record.container_id == container_id) found.push_back(endpoint.record);
  }
  return found;
}

int Ledger::bridge_index(const std::string& network_id) {
  const std::scoped_lock lock(mutex_);
  const auto found = networks_.find(network_id);
  return found == networks_.end() ? 0 : found->second.bridge_index;
}

void Ledger::set_bridge_index(const std::string& network_id, int index) {
  const std::scoped_lock lock(mutex_);
  const auto found = networks_.find(network_id);
  if (found != networks_.end()) found->second.bridge_index = index;
}

RuleSet Ledger::make_rules() {
  RuleSet rules;
  rules.table = options_.table;
  rules.no_transit = store_.forwarding_interfaces();
  for (const NetworkRecord& network : bridge_networks()) rules.bridges.push_back(make_bridge_rules(network));
  for (const EndpointRecord& endpoint : endpoints([](const EndpointRecord& one) { return !one.ip.empty(); })) {
    rules.endpoints.push_back(make_endpoint_rules(endpoint));
  }
  return rules;
}

// --- endpoints -------------------------------------------------------------------------------------------------------

Ledger::NetworkState& Ledger::state_of(const NetworkRecord& network) {
  const auto found = networks_.find(network.id);
  if (found == networks_.end()) throw Error(ErrorKind::not_found, concat("network ", network.name, " not found"));
  return found->second;
}

/// Under the mutex.
void Ledger::choose_address(const AttachRequest& request, NetworkState& network, Attachment& attachment) {
  const Ipv4Network gateway = *gateway_of(network.record);
  std::optional<Ipv4Address> address;
  if (request.ip && !request.ip->empty()) {
    if (network.record.name == "bridge") {
      throw Error(ErrorKind::invalid_argument, "user specified IP address is supported on user defined networks only");
    }
    if (!network.record.fixed_subnet) {
      throw Error(ErrorKind::invalid_argument,
                  "user specified IP address is supported only when connecting to networks with user configured "
                  "subnets");
    }
    address = Ipv4Address::parse(*request.ip);
    if (!gateway.contains(*address) || *address == gateway.first() || *address == gateway.last()) {
      throw Error(ErrorKind::invalid_argument,
                  concat("Invalid address ", *request.ip, ": It does not belong to any of this network's subnets"));
    }
    if (network.taken.contains(*address)) throw Error(ErrorKind::forbidden, "Address already in use");
  } else {
    address =
        network::choose_address(gateway.range(), allocation_range(network.record), network.taken, network.last_address);
    if (!address) {
      throw Error(ErrorKind::unavailable, concat("no available IPv4 addresses on network ", network.record.name));
    }
  }
  attachment.mac = request.mac && !request.mac->empty() ? parse_mac(*request.mac) : make_mac(*address);
  attachment.ip = address->text();
  attachment.prefix_length = gateway.prefix_length;
  attachment.gateway = network.record.internal ? "" : gateway.address.text();
  network.taken.insert(*address);
  if (!request.ip || request.ip->empty()) network.last_address = address;
}

/// Under the mutex.
void Ledger::choose_ports(const AttachRequest& request, const NetworkState& network, Attachment& attachment) {
  if (network.record.internal) return;  // nothing from outside reaches it: Docker leaves them out as well
  const Ipv4Address address = Ipv4Address::parse(attachment.ip);
  try {
    for (const PortRequest& port : request.ports) {
      ReservedPort reserved = ports_.reserve(port, network.record.host_binding_ipv4, address);
      attachment.ports.push_back(reserved.binding);
      if (reserved.holder) attachment.port_holders.push_back(std::move(reserved.holder));
    }
  } catch (Error& error) {
    if (error.kind() == ErrorKind::internal) {
      error.add_context(concat("driver failed programming external connectivity on endpoint ", request.container_name,
                               " (", attachment.endpoint_id, ")"));
    }
    throw;
  }
}

Attachment Ledger::reserve(const AttachRequest& request, const NetworkRecord& network) {
  Attachment attachment;
  attachment.endpoint_id = make_random_id();
  attachment.container_id = request.container_id;
  attachment.container_name = request.container_name;
  attachment.network_id = network.id;
  if (is_bridged(network)) {
    check_interface_name(request.interface);
    attachment.interface = request.interface;
    // A random part: the veth of the container's last run may still be dying with its namespace.
    attachment.host_interface = concat("veth", request.container_id.substr(0, 4), attachment.endpoint_id.substr(0, 7));
    check_interface_name(attachment.host_interface);
  }
  {
    const std::scoped_lock lock(mutex_);
    NetworkState& state = state_of(network);
    for (const auto& [id, endpoint] : endpoints_) {
      if (endpoint.record.container_id == request.container_id && endpoint.record.network_id == network.id) {
        throw Error(ErrorKind::forbidden,
                    concat("endpoint with name ", request.container_name, " already exists in network ", network.name));
      }
    }
    EndpointState& endpoint = endpoints_[attachment.endpoint_id];
    endpoint.hidden = true;
    try {
      if (is_bridged(network)) {
        choose_address(request, state, attachment);
        choose_ports(request, state, attachment);
      }
    } catch (...) {  // whatever failed: what was taken goes back
      release(attachment);
      throw;
    }
    endpoint.record = attachment;
  }
  try {
    store_.add_endpoint(attachment);
  } catch (...) {  // as above
    const std::scoped_lock lock(mutex_);
    release(attachment);
    throw;
  }
  return attachment;
}

/// Under the mutex.
void Ledger::release(const EndpointRecord& endpoint) {
  if (endpoints_.erase(endpoint.endpoint_id) == 0) return;
  for (const PortBinding& port : endpoint.ports) ports_.release(port);
  const auto network = networks_.find(endpoint.network_id);
  if (network != networks_.end() && !endpoint.ip.empty()) network->second.taken.erase(Ipv4Address::parse(endpoint.ip));
}

void Ledger::hide(const std::vector<EndpointRecord>& endpoints) {
  const std::scoped_lock lock(mutex_);
  for (const EndpointRecord& endpoint : endpoints) {
    const auto found = endpoints_.find(endpoint.endpoint_id);
    if (found != endpoints_.end()) found->second.hidden = true;
  }
}

void Ledger::show(const EndpointRecord& endpoint) {
  const std::scoped_lock lock(mutex_);
  const auto found = endpoints_.find(endpoint.endpoint_id);
  if (found != endpoints_.end()) found->second.hidden = false;
}

void Ledger::forget(const std::vector<EndpointRecord>& endpoints) {
  std::vector<std::string> ids;
  for (const EndpointRecord& endpoint : endpoints) ids.push_back(endpoint.endpoint_id);
  store_.remove_endpoints(ids);
  const std::scoped_lock lock(mutex_);
  for (const EndpointRecord& endpoint : endpoints) release(endpoint);
}

std::vector<EndpointRecord> Ledger::hide_all_but(const std::set<std::string>& container_ids) {
  const std::scoped_lock lock(mutex_);
  std::vector<EndpointRecord> others;
  for (auto& [id, endpoint] : endpoints_) {
    endpoint.hidden = !container_ids.contains(endpoint.record.container_id);
    if (endpoint.hidden) others.push_back(endpoint.record);
  }
  return others;
}

// --- user-defined networks -------------------------------------------------------------------------------------------

NetworkRecord Ledger::add(const NetworkCreate& request) {
  NetworkRecord record;
  {
    const std::scoped_lock lock(mutex_);
    for (const auto& [id, network] : networks_) {
      if (network.record.name == request.name && !network.record.predefined) {
        throw Error(ErrorKind::conflict, concat("network with name ", request.name, " already exists"));
      }
    }
    record = make_network(request, options_, ranges(), foreign_routes());
    for (const auto& [id, network] : networks_) {
      if (network.record.bridge != record.bridge) continue;
      throw Error(ErrorKind::forbidden, concat("conflicts with network ", network.record.name,
                                               ": both would use the bridge ", record.bridge));
    }
  }
  NetlinkSocket route(NETLINK_ROUTE);
  if (find_link(route, record.bridge)) {
    throw Error(ErrorKind::forbidden, concat("link ", record.bridge, " exists already"));
  }
  store_.save_network(record);
  const std::scoped_lock lock(mutex_);
  insert(record, std::nullopt);
  return record;
}

void Ledger::close(const NetworkRecord& network) {
  const std::scoped_lock lock(mutex_);
  for (const auto& [id, endpoint] : endpoints_) {
    if (endpoint.record.network_id != network.id) continue;
    throw Error(ErrorKind::forbidden,
                concat("error while removing network: network ", network.name, " has active endpoints (name:\"",
                       endpoint.record.container_name, "\" id:\"", endpoint.record.endpoint_id.substr(0, 12), "\")"));
  }
  networks_.erase(network.id);
  std::erase(order_, network.id);
}

void Ledger::reopen(const NetworkRecord& network) {
  const std::scoped_lock lock(mutex_);
  insert(network, std::nullopt);
}

}  // namespace mydocker::network
