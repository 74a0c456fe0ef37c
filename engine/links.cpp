#include "engine/links.h"

#include <fcntl.h>

#include <algorithm>

#include "engine/base/log.h"
#include "engine/base/sys.h"
#include "network/host_files.h"

namespace mydocker::engine {
namespace {

constexpr std::size_t largest_hosts_file = std::size_t{1} << 20;

/// The file is the container's to write to, so that it is read as anything from outside. In place: it is bind-mounted.
void rewrite_address(const std::string& path, const std::string& alias, const std::string& address) {
  const UniqueFd file = open_file(path, O_RDWR | O_NOFOLLOW);
  std::string text(largest_hosts_file + 1, '\0');
  const ssize_t size = retry_on_eintr([&] { return ::pread(file.get(), text.data(), text.size(), 0); });
  if (size < 0) throw sys_error("read ", path);
  if (static_cast<std::size_t>(size) > largest_hosts_file) {
    throw Error(ErrorKind::too_large, concat(path, " is larger than 1 MiB"));
  }
  text.resize(static_cast<std::size_t>(size));
  const std::string changed = network::replace_host_address(text, alias, address);
  if (changed == text) return;
  if (::pwrite(file.get(), changed.data(), changed.size(), 0) != static_cast<ssize_t>(changed.size()) ||
      ::ftruncate(file.get(), static_cast<off_t>(changed.size())) != 0) {
    throw sys_error("write ", path);
  }
}

std::string address_of(const Container& container) {
  return container.record.endpoints.empty() ? "" : container.record.endpoints.front().address;
}

/// A hosts file that cannot be written costs a name, not the start of another container.
awaitable<void> tell_address(EngineState& state, ContainerPtr container, std::string alias, std::string address) {
  const std::string path = state.paths.container(container->id()) + "/hosts";
  try {
    co_await blocking(state.disk_pool, [&] { rewrite_address(path, alias, address); });
  } catch (const Error& error) {
    log::warn("the address of a link was not written",
              {{"container", container->id()}, {"alias", alias}, {"error", error.message()}});
  }
}

}  // namespace

std::vector<LinkedContainer> find_linked(EngineState& state, const ContainerRecord& record) {
  std::vector<LinkedContainer> links;
  for (const LinkRecord& link : record.links) {
    const ContainerPtr target = state.containers.find_by_id(link.target_id);
    if (!target) continue;  // removed: the link went with it
    if (!is_alive(target->state) || target->record.endpoints.empty()) {
      throw Error(ErrorKind::conflict, concat("Cannot link to a non running container: /", target->name(), " AS /",
                                              record.name, "/", link.alias));
    }
    LinkedContainer out{.alias = link.alias,
                        .name = target->name(),
                        .hostname = target->record.config.hostname,
                        .address = target->record.endpoints.front().address,
                        .ports = {},
                        .env = target->record.config.env.value_or(api::StringList{})};
    for (const auto& [port, nothing] : target->record.config.exposed_ports) out.ports.push_back(port);
    links.push_back(std::move(out));
  }
  return links;
}

awaitable<void> refresh_links(EngineState& state, ContainerPtr started, std::vector<LinkedContainer> known) {
  for (const LinkedContainer& link : known) {  // who restarted while this one was being started
    const auto record = std::find_if(started->record.links.begin(), started->record.links.end(),
                                     [&](const LinkRecord& one) { return one.alias == link.alias; });
    if (record == started->record.links.end()) continue;
    const ContainerPtr target = state.containers.find_by_id(record->target_id);
    const std::string address = target ? address_of(*target) : "";
    if (!address.empty() && address != link.address) co_await tell_address(state, started, link.alias, address);
  }
  const std::string address = address_of(*started);
  if (address.empty()) co_return;
  for (const ContainerPtr& container : state.containers.list()) {
    if (!is_alive(container->state)) continue;
    const std::vector<LinkRecord> links = container->record.links;
    for (const LinkRecord& link : links) {
      if (link.target_id == started->id()) co_await tell_address(state, container, link.alias, address);
    }
  }
}

}  // namespace mydocker::engine
