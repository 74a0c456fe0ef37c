#include <algorithm>

#include "api/types/network.h"
#include "cli/command.h"
#include "cli/command/lists.h"
#include "cli/command/prune.h"
#include "cli/options/settings.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/units.h"
#include "engine/base/time.h"

namespace mydocker::cli {
namespace {

using enum FlagKind;

constexpr Flag ls_flags[] = {
    {"filter", 'f', list, "filter", "Provide filter values (e.g. \"driver=bridge\")", check_filter},
    {"format", 0, single, "string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"},
    {"no-trunc", 0, boolean, "", "Do not truncate the output"},
    {"quiet", 'q', boolean, "", "Only display network IDs"},
};

std::string go_time(Timestamp time) {
  std::string out = to_rfc3339(time);
  if (const std::size_t t = out.find('T'); t != std::string::npos) out[t] = ' ';
  if (out.ends_with('Z')) out.pop_back();
  return out + " +0000 UTC";
}

int ls(Session& session, const Arguments& arguments) {
  ListFormat format;
  format.quiet = arguments.enabled("quiet");
  format.format = arguments.text("format", format.quiet ? "" : session.config.networks_format);
  format.type_name = "*network.networkContext";
  format.default_table = "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}";
  ApiCall call{.path = "/networks"};
  if (const std::string filters = make_filters(arguments.list("filter")); !filters.empty())
    call.query.emplace_back("filters", filters);
  ListPrinter printer(format, {{"ID", "NETWORK ID"},
                               {"Name", "NAME"},
                               {"Driver", "DRIVER"},
                               {"Scope", "SCOPE"},
                               {"IPv4", "IPV4"},
                               {"IPv6", "IPV6"},
                               {"Internal", "INTERNAL"},
                               {"Labels", "LABELS"},
                               {"CreatedAt", "CREATED AT"}});
  auto networks = from_json<std::vector<api::NetworkInspect>>(session.api().call_json(call));
  std::sort(networks.begin(), networks.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  const auto word = [](bool value) { return json::value(value ? "true" : "false"); };
  for (const api::NetworkInspect& network : networks) {
    printer.add({{"ID", json::value(arguments.enabled("no-trunc") ? network.id : short_id(network.id))},
                 {"Name", json::value(network.name)},
                 {"Driver", json::value(network.driver)},
                 {"Scope", json::value(network.scope)},
                 {"IPv4", word(network.enable_ipv4.value_or(false))},
                 {"IPv6", word(network.enable_ipv6)},
                 {"Internal", word(network.internal)},
                 {"Labels", json::value(labels_text(network.labels))},
                 {"CreatedAt", json::value(go_time(network.created))}},
                label_method({network.labels.begin(), network.labels.end()}));
  }
  print(printer.render());
  return 0;
}

constexpr Flag create_flags[] = {
    {"attachable", 0, boolean, "", "Enable manual container attachment"},
    {"aux-address", 0, list, "map", "Auxiliary addresses used by the network driver"},
    {"driver", 'd', single, "string", "Driver to manage the network"},
    {"gateway", 0, list, "strings", "IPv4 or IPv6 gateway for the subnet"},
    {"internal", 0, boolean, "", "Restrict external access to the network"},
    {"ip-range", 0, list, "strings", "Allocate container addresses from a sub-range"},
    {"ipam-driver", 0, single, "string", "Driver of the address management"},
    {"ipam-opt", 0, list, "map", "Options of the address management"},
    {"ipv4", 0, boolean, "", "Enable or disable IPv4 address assignment"},
    {"ipv6", 0, boolean, "", "Enable or disable IPv6 address assignment"},
    {"label", 0, list, "list", "Set metadata on a network"},
    {"opt", 'o', list, "map", "Set driver specific options"},
    {"subnet", 0, list, "strings", "Subnet in CIDR format"},
};

int create(Session& session, const Arguments& arguments) {
  api::NetworkCreateRequest request;
  request.name = arguments.positionals[0];
  request.driver = arguments.text("driver", "bridge");
  request.internal = arguments.enabled("internal");
  request.attachable = arguments.enabled("attachable");
  if (arguments.has("ipv4")) request.enable_ipv4 = arguments.enabled("ipv4");
  if (arguments.has("ipv6")) request.enable_ipv6 = arguments.enabled("ipv6");
  request.options = to_map(arguments.list("opt"));
  request.labels = to_map(arguments.list("label"));
  const std::vector<std::string> subnets = arguments.list("subnet");
  const std::vector<std::string> gateways = arguments.list("gateway");
  const std::vector<std::string> ranges = arguments.list("ip-range");
  if (subnets.empty() && (!gateways.empty() || !ranges.empty())) {
    throw CommandFailure(1, "every ip-range or gateway must have a corresponding subnet");
  }
  api::Ipam ipam;
  ipam.driver = arguments.text("ipam-driver", "default");
  ipam.options = to_map(arguments.list("ipam-opt"));
  ipam.config.emplace();
  for (std::size_t at = 0; at < subnets.size(); ++at) {
    api::IpamConfig config;
    config.subnet = subnets[at];
    if (at < gateways.size()) config.gateway = gateways[at];
    if (at < ranges.size()) config.ip_range = ranges[at];
    if (at == 0) config.auxiliary_addresses = to_map(arguments.list("aux-address"));
    ipam.config->push_back(std::move(config));
  }
  request.ipam = std::move(ipam);
  const auto response = from_json<api::NetworkCreateResponse>(
      session.api().call_json({.method = "POST", .path = "/networks/create", .body = write_json(to_json(request))}));
  if (!response.warning.empty()) print_error(concat("WARNING: ", response.warning, "\n"));
  print(response.id + "\n");
  return 0;
}

constexpr Flag rm_flags[] = {{"force", 'f', boolean, "", "Do not error if the network does not exist"}};

int rm(Session& session, const Arguments& arguments) {
  return for_each_name(arguments.positionals, [&](const std::string& name) -> std::optional<std::string> {
    try {
      session.api().call({.method = "DELETE", .path = concat("/networks/", path_part(name))});
    } catch (const ApiError& error) {
      if (!arguments.enabled("force") || error.status() != 404) throw;
      print_error(error.message() + "\n");
      return std::nullopt;
    }
    return name;
  });
}

constexpr Flag connect_flags[] = {
    {"alias", 0, list, "strings", "Add network-scoped alias for the container"},
    {"driver-opt", 0, list, "strings", "Driver options for the network"},
    {"gw-priority", 0, single, "int", "Highest gw-priority provides the default gateway", check_int},
    {"ip", 0, single, "string", "IPv4 address (172.30.100.104)"},
    {"ip6", 0, single, "string", "IPv6 address (2001:db8::33)"},
    {"link", 0, list, "list", "Add link to another container"},
    {"link-local-ip", 0, list, "strings", "Add a link-local address for the container"},
};

int connect(Session& session, const Arguments& arguments) {
  api::NetworkConnectRequest request;
  request.container = arguments.positionals[1];
  api::EndpointSettings endpoint;
  api::EndpointIpamConfig ipam;
  ipam.ipv4_address = arguments.text("ip");
  ipam.ipv6_address = arguments.text("ip6");
  ipam.link_local_ips = arguments.list("link-local-ip");
  endpoint.ipam_config = ipam;
  if (arguments.has("alias")) endpoint.aliases = arguments.list("alias");
  if (arguments.has("link")) endpoint.links = arguments.list("link");
  if (arguments.has("driver-opt")) endpoint.driver_opts = to_map(arguments.list("driver-opt"));
  endpoint.gateway_priority = arguments.integer("gw-priority");
  request.endpoint_config = std::move(endpoint);
  session.api().call({.method = "POST",
                      .path = concat("/networks/", path_part(arguments.positionals[0]), "/connect"),
                      .body = write_json(to_json(request))});
  return 0;
}

constexpr Flag disconnect_flags[] = {{"force", 'f', boolean, "", "Force the container to disconnect from a network"}};

int disconnect(Session& session, const Arguments& arguments) {
  const api::NetworkDisconnectRequest request{arguments.positionals[1], arguments.enabled("force")};
  session.api().call({.method = "POST",
                      .path = concat("/networks/", path_part(arguments.positionals[0]), "/disconnect"),
                      .body = write_json(to_json(request))});
  return 0;
}

constexpr Flag prune_flags[] = {
    {"filter", 0, list, "filter", "Provide filter values (e.g. \"until=<timestamp>\")", check_filter},
    {"force", 'f', boolean, "", "Do not prompt for confirmation"},
};

int prune(Session& session, const Arguments& arguments) {
  if (!confirm(arguments, "This will remove all custom networks not used by at least one container.")) return 0;
  ApiCall call{.method = "POST", .path = "/networks/prune"};
  if (const std::string filters = make_filters(arguments.list("filter")); !filters.empty())
    call.query.emplace_back("filters", filters);
  const auto report = from_json<api::NetworksPruneReport>(session.api().call_json(call));
  if (report.networks_deleted && !report.networks_deleted->empty()) {
    print("Deleted Networks:\n");
    for (const std::string& name : *report.networks_deleted) print(name + "\n");
    print("\n");
  }
  return 0;
}

constexpr Command commands[] = {
    {.name = "network connect",
     .usage = "[OPTIONS] NETWORK CONTAINER",
     .summary = "Connect a container to a network",
     .least_arguments = 2,
     .most_arguments = 2,
     .flags = connect_flags,
     .run = connect},
    {.name = "network create",
     .usage = "[OPTIONS] NETWORK",
     .summary = "Create a network",
     .least_arguments = 1,
     .most_arguments = 1,
     .flags = create_flags,
     .run = create},
    {.name = "network disconnect",
     .usage = "[OPTIONS] NETWORK CONTAINER",
     .summary = "Disconnect a container from a network",
     .least_arguments = 2,
     .most_arguments = 2,
     .flags = disconnect_flags,
     .run = disconnect},
    {.name = "network ls",
     .usage = "[OPTIONS]",
     .summary = "List networks",
     .most_arguments = 0,
     .flags = ls_flags,
     .run = ls},
    {.name = "network prune",
     .usage = "[OPTIONS]",
     .summary = "Remove all unused networks",
     .most_arguments = 0,
     .flags = prune_flags,
     .run = prune},
    {.name = "network rm",
     .usage = "NETWORK [NETWORK...]",
     .summary = "Remove one or more networks",
     .least_arguments = 1,
     .flags = rm_flags,
     .run = rm},
};

}  // namespace

std::span<const Command> network_commands() { return commands; }

}  // namespace mydocker::cli
