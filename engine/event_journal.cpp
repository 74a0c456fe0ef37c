#include "engine/event_journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "engine/base/error.h"
#include "engine/base/failpoint.h"
#include "engine/base/json.h"
#include "engine/base/log.h"
#include "engine/base/sys.h"

namespace mydocker::engine {
namespace {

UniqueFd open_file(const std::string& path, int flags) {
  UniqueFd file(::open(path.c_str(), flags | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) throw sys_error("open ", path);
  return file;
}

void read_events(const std::string& path, std::vector<api::Event>& events) {
  const std::optional<std::string> text = find_file_at(AT_FDCWD, path);
  if (!text) return;
  for (std::size_t begin = 0; begin < text->size();) {
    const std::size_t end = std::min(text->find('\n', begin), text->size());
    try {
      auto event = from_json<api::Event>(parse_json(std::string_view(*text).substr(begin, end - begin)), "event");
      if (event.time_ns > 0) events.push_back(std::move(event));
    } catch (const Error&) {
      log::debug("a line of the event journal is no event", {{"file", path}, {"offset", begin}});
    }
    begin = end + 1;
  }
}

}  // namespace

EventJournal::EventJournal(std::string path, std::size_t segment_bytes)
    : path_(std::move(path)), segment_bytes_(segment_bytes) {
  open_file(path_ + ".1", O_RDONLY);
  open_segment();
}

void EventJournal::open_segment() {
  file_ = open_file(path_, O_RDWR | O_APPEND);
  struct stat info{};
  if (::fstat(file_.get(), &info) != 0) throw sys_error("fstat ", path_);
  size_bytes_ = static_cast<std::size_t>(info.st_size);
  char last = '\n';
  if (size_bytes_ > 0 && ::pread(file_.get(), &last, 1, info.st_size - 1) != 1) throw sys_error("pread ", path_);
  // A line that a power failure cut must not swallow the next one.
  if (last != '\n') write_all(file_.get(), "\n");
}

std::vector<api::Event> EventJournal::load(std::size_t most) const {
  std::vector<api::Event> events;
  read_events(path_ + ".1", events);
  read_events(path_, events);
  if (events.size() > most) events.erase(events.begin(), events.end() - static_cast<std::ptrdiff_t>(most));
  return events;
}

void EventJournal::rotate() {
  if (::rename(path_.c_str(), (path_ + ".1").c_str()) != 0) throw sys_error("rename ", path_);
  open_segment();
}

void EventJournal::append(const api::Event& event) noexcept {
  try {
    failpoint("events.append");
    const std::string line = write_json(to_json(event)) + "\n";
    if (size_bytes_ > 0 && size_bytes_ + line.size() > segment_bytes_) rotate();
    write_all(file_.get(), line);
    size_bytes_ += line.size();
    failing_ = false;
  } catch (const std::exception& error) {
    if (!std::exchange(failing_, true)) log::error("events are not kept", {{"error", error.what()}});
  }
}

}  // namespace mydocker::engine
