#include "engine/container_view.h"
#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/explanation.h"
#include "engine/log_plan.h"
#include "engine/log_reader.h"
#include "engine/program_facts.h"

/// Why a container ended, did not start, or is unhealthy.
namespace mydocker::engine {
namespace {

constexpr std::int64_t shown_lines = 10;
constexpr std::size_t longest_line = 400;

/// The last lines of its output. Blocks; nothing when the log cannot be read.
std::vector<std::string> read_last_lines(const ContainerRecord& record, const std::string& directory) {
  LogReadOptions options;
  options.framed = false;
  options.tail = shown_lines;
  std::string text;
  try {
    const ReadableLog log = find_readable_log(record, directory);
    options.compact = log.compact;
    LogReader reader(log.path, options);
    while (text.size() < (std::size_t{1} << 20) && reader.read_some(text) == LogReadState::more) continue;
  } catch (const Error&) {
    return {};
  }
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = to_valid_utf8(text.substr(begin, std::min(end - begin, longest_line)));
    while (line.ends_with('\r')) line.pop_back();
    lines.push_back(std::move(line));
    begin = end + 1;
  }
  if (lines.size() > shown_lines) lines.erase(lines.begin(), lines.end() - shown_lines);
  return lines;
}

/// The container of ours that published this port of the host.
std::string find_port_container(const EngineState& state, const std::string& address, const std::string& but_not) {
  const std::string port = address.substr(address.rfind(':') + 1);
  for (const ContainerPtr& container : state.containers.list()) {
    if (container->id() == but_not) continue;
    for (const auto& [inside, bindings] : container->record.ports) {
      for (const api::PortBinding& binding : bindings) {
        if (binding.host_port == port) {
          return concat("container ", container->name(), " (", container->id().substr(0, 12), ")");
        }
      }
    }
  }
  return "";
}

std::string path_variable(const ContainerRecord& record) {
  constexpr std::string_view prefix = "PATH=";
  for (const std::string& entry : record.config.env.value_or(api::StringList{})) {
    if (entry.starts_with(prefix)) return entry.substr(prefix.size());
  }
  return "";
}

}  // namespace

awaitable<api::Explanation> Engine::explain(std::string id) {
  EngineState& state = *state_;
  const ContainerPtr container = state.containers.get(id);
  ExplainFacts facts;
  facts.record = container->record;
  facts.state = container->state;
  facts.status = make_status_text(*container, now());
  if (facts.record.health) {
    facts.health = facts.record.health->status;
    if (!facts.record.health->log.empty()) facts.health_output = facts.record.health->log.back().output;
  }
  const std::string full_id = container->id();
  const std::string refused_port = find_refused_port(facts.record.error);
  if (!refused_port.empty()) facts.port = PortHolder{refused_port, find_port_container(state, refused_port, full_id)};
  const std::string directory = state.paths.container(full_id);
  co_await blocking(state.disk_pool, [&] {
    facts.log = read_last_lines(facts.record, directory);
    if (facts.port && facts.port->holder.empty()) facts.port->holder = find_port_process(refused_port);
    if (facts.record.error.empty() || facts.record.chain_id.empty() || facts.port) return;
    const OverlayMount mount = state.container_layers->mount(full_id, Digest::parse(facts.record.chain_id));
    std::vector<std::string> layers = mount.lower;
    layers.insert(layers.begin(), mount.upper);
    facts.program = find_program_facts(layers, facts.record.path, path_variable(facts.record));
  });
  co_return make_explanation(facts);
}

}  // namespace mydocker::engine
