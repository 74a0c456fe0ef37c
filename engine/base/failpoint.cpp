#include "engine/base/failpoint.h"

#ifdef MYDOCKER_FAILPOINTS

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <charconv>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "engine/base/error.h"

namespace mydocker {
namespace {

struct Action {
  std::string verb;
  int only_pass = 0;  ///< 0 = every pass
  int passes = 0;
};

struct Table {
  std::mutex mutex;
  std::map<std::string, Action, std::less<>> actions;
};

/// Read once, before the first pass; nullptr when nothing is set.
std::unique_ptr<Table> load_table() {
  const char* text = ::getenv("MYDOCKER_FAILPOINTS");
  if (text == nullptr || *text == '\0') return nullptr;
  auto table = std::make_unique<Table>();
  std::string_view rest = text;
  while (!rest.empty()) {
    std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    const std::size_t equals = item.find('=');
    if (equals == std::string_view::npos) continue;
    Action action;
    std::string_view verb = item.substr(equals + 1);
    if (const std::size_t at = verb.find('@'); at != std::string_view::npos) {
      std::from_chars(verb.data() + at + 1, verb.data() + verb.size(), action.only_pass);
      verb = verb.substr(0, at);
    }
    action.verb = std::string(verb);
    table->actions[std::string(item.substr(0, equals))] = action;
  }
  return table;
}

}  // namespace

void failpoint(std::string_view name) {
  static const std::unique_ptr<Table> table = load_table();
  if (!table) return;
  std::string verb;
  {
    const std::scoped_lock lock(table->mutex);
    const auto found = table->actions.find(name);
    if (found == table->actions.end()) return;
    Action& action = found->second;
    ++action.passes;
    if (action.only_pass != 0 && action.only_pass != action.passes) return;
    verb = action.verb;
  }
  if (verb == "kill") {
    ::kill(::getpid(), SIGKILL);
  } else if (verb == "nospace") {
    throw make_sys_error(ENOSPC, concat("failpoint ", name));
  } else if (verb.starts_with("delay:")) {
    int milliseconds = 0;
    std::from_chars(verb.data() + 6, verb.data() + verb.size(), milliseconds);
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  } else {
    throw Error(ErrorKind::internal, concat("failpoint ", name));
  }
}

}  // namespace mydocker

#endif
