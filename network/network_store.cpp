#include "network/network_store.h"

#include <fcntl.h>

#include "engine/base/error.h"
#include "engine/base/json.h"
#include "engine/base/sys.h"

namespace mydocker {

// Field tables of the rows' JSON. They stand here, not in records.h: the text is private to this file, and its readers
// need no JSON headers.

namespace {

struct IpamRow : network::IpamConfig {
  static constexpr auto json_fields() {
    return std::tuple(field("subnet", &IpamConfig::subnet), field("ip_range", &IpamConfig::ip_range),
                      field("gateway", &IpamConfig::gateway),
                      field("auxiliary_addresses", &IpamConfig::auxiliary_addresses));
  }
};

struct PortRow : network::PortBinding {
  static constexpr auto json_fields() {
    return std::tuple(field("host_ip", &PortBinding::host_ip), field("host_port", &PortBinding::host_port),
                      field("container_port", &PortBinding::container_port), field("protocol", &PortBinding::protocol));
  }
};

/// A codec that reads and writes `Value` by the table of `Row`, which adds nothing to it but the table.
template <typename Value, typename Row>
struct RowCodec {
  static void read(const json::value& value, const std::string& path, Value& out) {
    Row row;
    read_json(value, path, row);
    out = std::move(row);
  }
  static json::value write(const Value& value) {
    Row row;
    static_cast<Value&>(row) = value;
    return to_json(row);
  }
};

}  // namespace

template <>
struct JsonCodec<network::IpamConfig> : RowCodec<network::IpamConfig, IpamRow> {};
template <>
struct JsonCodec<network::PortBinding> : RowCodec<network::PortBinding, PortRow> {};

namespace network {
namespace {

struct NetworkRow : NetworkRecord {
  static constexpr auto json_fields() {
    using N = NetworkRecord;
    return std::tuple(
        field("driver", &N::driver), field("scope", &N::scope), field("bridge", &N::bridge),
        field("predefined", &N::predefined), field("enable_ipv4", &N::enable_ipv4),
        field("enable_ipv6", &N::enable_ipv6), field("internal", &N::internal), field("attachable", &N::attachable),
        field("icc", &N::icc), field("ip_masq", &N::ip_masq), field("fixed_subnet", &N::fixed_subnet),
        field("mtu", &N::mtu), field("host_binding_ipv4", &N::host_binding_ipv4), field("ipam", &N::ipam),
        field("ipam_options", &N::ipam_options), field("options", &N::options), field("labels", &N::labels));
  }
};

struct EndpointRow : EndpointRecord {
  static constexpr auto json_fields() {
    using E = EndpointRecord;
    return std::tuple(field("container_name", &E::container_name), field("interface", &E::interface),
                      field("host_interface", &E::host_interface), field("ip", &E::ip),
                      field("prefix_length", &E::prefix_length), field("gateway", &E::gateway), field("mac", &E::mac),
                      field("ports", &E::ports));
  }
};

template <typename Row, typename Record>
std::string write_row(const Record& record) {
  return write_json(RowCodec<Record, Row>::write(record));
}

std::optional<Ipv4Address> address_of(const EndpointRecord& endpoint) { return Ipv4Address::find(endpoint.ip); }

}  // namespace

NetworkStore::NetworkStore(Database& database) : database_(database) {
  boot_id_ = find_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 128).value_or("");
  database_.transaction([](Connection& db) {
    db.execute(
        "CREATE TABLE IF NOT EXISTS networks("
        " id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,"
        " last_address INTEGER, record TEXT NOT NULL)");
    db.execute(
        "CREATE TABLE IF NOT EXISTS network_endpoints("
        " endpoint_id TEXT PRIMARY KEY, container_id TEXT NOT NULL, network_id TEXT NOT NULL,"
        " address INTEGER, record TEXT NOT NULL,"
        " UNIQUE(container_id, network_id), UNIQUE(network_id, address))");
    db.execute(
        "CREATE TABLE IF NOT EXISTS network_forwarding("
        " interface TEXT PRIMARY KEY, boot_id TEXT NOT NULL)");
  });
}

std::vector<StoredNetwork> NetworkStore::networks() {
  return database_.transaction([](Connection& db) {
    std::vector<StoredNetwork> found;
    Statement select =
        db.prepare("SELECT id, name, created, last_address, record FROM networks ORDER BY created, rowid");
    while (select.step()) {
      StoredNetwork one;
      one.record = from_json<NetworkRow>(parse_json(select.text(4)), "network");
      one.record.id = select.text(0);
      one.record.name = select.text(1);
      one.record.created = from_unix_nanoseconds(select.integer(2));
      if (!select.is_null(3)) one.last_address = Ipv4Address{static_cast<std::uint32_t>(select.integer(3))};
      found.push_back(std::move(one));
    }
    return found;
  });
}

void NetworkStore::save_network(const NetworkRecord& record) {
  database_.transaction([&](Connection& db) {
    db.prepare(
          "INSERT INTO networks(id, name, created, record) VALUES(?,?,?,?)"
          " ON CONFLICT(id) DO UPDATE SET record=excluded.record")
        .bind(record.id)
        .bind(record.name)
        .bind(to_unix_nanoseconds(record.created))
        .bind(write_row<NetworkRow>(record))
        .step();
  });
}

void NetworkStore::remove_network(const std::string& id) {
  database_.transaction([&](Connection& db) { db.prepare("DELETE FROM networks WHERE id=?").bind(id).step(); });
}

std::vector<EndpointRecord> NetworkStore::endpoints() {
  return database_.transaction([](Connection& db) {
    std::vector<EndpointRecord> found;
    Statement select =
        db.prepare("SELECT endpoint_id, container_id, network_id, record FROM network_endpoints ORDER BY rowid");
    while (select.step()) {
      EndpointRecord one = from_json<EndpointRow>(parse_json(select.text(3)), "endpoint");
      one.endpoint_id = select.text(0);
      one.container_id = select.text(1);
      one.network_id = select.text(2);
      found.push_back(std::move(one));
    }
    return found;
  });
}

void NetworkStore::add_endpoint(const EndpointRecord& endpoint) {
  const std::optional<Ipv4Address> address = address_of(endpoint);
  database_.transaction(
      [&](Connection& db) {
        Statement insert = db.prepare(
            "INSERT INTO network_endpoints(endpoint_id, container_id, network_id, record, address) VALUES(?,?,?,?,?)");
        insert.bind(endpoint.endpoint_id)
            .bind(endpoint.container_id)
            .bind(endpoint.network_id)
            .bind(write_row<EndpointRow>(endpoint));
        if (!address) {
          insert.bind_null().step();
          return;
        }
        insert.bind(std::int64_t{address->value}).step();
        db.prepare("UPDATE networks SET last_address=? WHERE id=?")
            .bind(std::int64_t{address->value})
            .bind(endpoint.network_id)
            .step();
      },
      Durability::crash);
}

void NetworkStore::remove_endpoints(const std::vector<std::string>& endpoint_ids) {
  if (endpoint_ids.empty()) return;
  database_.transaction(
      [&](Connection& db) {
        for (const std::string& id : endpoint_ids) {
          db.prepare("DELETE FROM network_endpoints WHERE endpoint_id=?").bind(id).step();
        }
      },
      Durability::crash);
}

std::vector<std::string> NetworkStore::forwarding_interfaces() {
  return database_.transaction([&](Connection& db) {
    std::vector<std::string> found;
    Statement select = db.prepare("SELECT interface FROM network_forwarding WHERE boot_id=? ORDER BY interface");
    select.bind(boot_id_);
    while (select.step()) found.push_back(select.text(0));
    return found;
  });
}

void NetworkStore::add_forwarding_interface(const std::string& interface) {
  database_.transaction(
      [&](Connection& db) {
        db.prepare("INSERT OR REPLACE INTO network_forwarding(interface, boot_id) VALUES(?,?)")
            .bind(interface)
            .bind(boot_id_)
            .step();
      },
      Durability::crash);
}

void NetworkStore::clear_forwarding_interfaces() {
  database_.transaction([](Connection& db) { db.execute("DELETE FROM network_forwarding"); });
}

}  // namespace network
}  // namespace mydocker
