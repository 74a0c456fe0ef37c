#include "engine/process_list.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <ctime>
#include <map>
#include <optional>
#include <set>

#include "engine/base/error.h"
#include "engine/base/sys.h"

namespace mydocker::engine {
namespace {

constexpr std::size_t max_names_bytes = 1 << 20;     // SECURITY 7: passwd, group
constexpr std::size_t max_command_bytes = 32 << 10;  // of a command line; the rest is not shown
constexpr std::size_t user_column_width = 8;         // ps cuts longer names there and marks the cut
constexpr std::uint64_t flag_forked = 6;             // procps shows these three bits of the flags

// --- facts -----------------------------------------------------------------------------------------------------------

/// One process as /proc tells it. `man 5 proc`, /proc/pid/stat, counts its fields from 1.
struct ProcessFacts {
  pid_t pid = 0;
  std::string name;
  char state = '?';
  std::vector<std::int64_t> stat;  ///< fields 4 to 52; index = field - 4
  std::string command_line;        ///< blanks between the arguments
  std::uint32_t real_uid = 0, effective_uid = 0, real_gid = 0, effective_gid = 0;
  bool has_locked_memory = false;
  std::string cgroup, wait_channel;

  std::int64_t field(std::size_t number) const { return number - 4 < stat.size() ? stat[number - 4] : 0; }
};

/// What is the same for all rows.
struct HostFacts {
  std::map<std::uint32_t, std::string> users, groups;
  std::int64_t ticks_per_second = 100;
  std::int64_t page_kib = 4;
  std::int64_t boot_time = 0;  ///< seconds since 1970
  double uptime = 0;           ///< seconds
  std::int64_t memory_kib = 1;
  std::time_t now = 0;
};

std::int64_t to_number(std::string_view text) {
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t begin = text.find_first_not_of(separators);
    if (begin == std::string_view::npos) return parts;
    const std::size_t end = std::min(text.find_first_of(separators, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    text.remove_prefix(end);
  }
}

/// "Name:   value" of a file of such lines: the value, or "".
std::string_view find_line(std::string_view text, std::string_view name) {
  for (const std::string_view line : split(text, "\n")) {
    if (line.starts_with(name)) {
      return line.substr(std::min(line.find_first_not_of(" \t", name.size()), line.size()));
    }
  }
  return {};
}

/// Id -> name of passwd(5) or group(5). A file that is missing, too long or no file gives no names: ids stand for them.
std::map<std::uint32_t, std::string> read_names(const std::string& path) {
  std::map<std::uint32_t, std::string> names;
  const UniqueFd file = find_at(AT_FDCWD, path, O_RDONLY | O_NONBLOCK);
  struct stat facts{};
  if (!file || ::fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) return names;
  if (facts.st_size > static_cast<off_t>(max_names_bytes)) return names;
  const std::string text = read_all(file.get(), max_names_bytes, path);
  for (const std::string_view line : split(text, "\n")) {
    const std::size_t name_end = line.find(':');
    if (name_end == std::string_view::npos || name_end == 0) continue;
    const std::size_t id_begin = line.find(':', name_end + 1);
    if (id_begin == std::string_view::npos) continue;
    const std::string_view digits = line.substr(id_begin + 1, line.find(':', id_begin + 1) - id_begin - 1);
    std::uint32_t id = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), id);
    if (error != std::errc{} || end != digits.data() + digits.size()) continue;
    names.emplace(id, line.substr(0, name_end));  // the first of two counts, as getpwuid does
  }
  return names;
}

HostFacts read_host(const ProcessSources& sources) {
  HostFacts host;
  host.users = read_names(sources.passwd);
  host.groups = read_names(sources.group);
  host.ticks_per_second = ::sysconf(_SC_CLK_TCK);
  host.page_kib = ::sysconf(_SC_PAGESIZE) / 1024;
  host.boot_time = to_number(find_line(read_file(sources.proc + "/stat"), "btime"));
  const std::string uptime = read_file(sources.proc + "/uptime");
  host.uptime = static_cast<double>(to_number(uptime));
  if (const std::size_t dot = uptime.find('.'); dot != std::string::npos) {
    host.uptime += static_cast<double>(to_number(std::string_view(uptime).substr(dot + 1, 2))) / 100;
  }
  host.memory_kib = std::max<std::int64_t>(1, to_number(find_line(read_file(sources.proc + "/meminfo"), "MemTotal:")));
  host.now = std::time(nullptr);
  return host;
}

/// At most `limit` bytes: the writer is the container, and more is not needed.
std::string read_some(int dir, const std::string& name, std::size_t limit) {
  const UniqueFd file = find_at(dir, name, O_RDONLY);
  std::string text(limit, '\0');
  std::size_t size = 0;
  while (file && size < limit) {
    const ssize_t got = retry_on_eintr([&] { return ::read(file.get(), text.data() + size, limit - size); });
    if (got <= 0) break;
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  return text;
}

/// Control bytes become '?', so that no cell breaks a line or moves a cursor (SECURITY L1).
std::string to_printable(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

std::string read_command_line(int dir) {
  std::string text = read_some(dir, "cmdline", max_command_bytes);
  while (!text.empty() && text.back() == '\0') text.pop_back();
  std::replace(text.begin(), text.end(), '\0', ' ');
  return to_printable(std::move(text));
}

void read_ids(ProcessFacts& process, int dir) {
  const std::string status = read_some(dir, "status", 16 << 10);
  const auto read_pair = [&](std::string_view name, std::uint32_t& real, std::uint32_t& effective) {
    const std::vector<std::string_view> ids = split(find_line(status, name), " \t");
    if (ids.size() < 2) return;
    real = static_cast<std::uint32_t>(to_number(ids[0]));
    effective = static_cast<std::uint32_t>(to_number(ids[1]));
  };
  read_pair("Uid:", process.real_uid, process.effective_uid);
  read_pair("Gid:", process.real_gid, process.effective_gid);
  process.has_locked_memory = to_number(find_line(status, "VmLck:")) > 0;
}

std::optional<ProcessFacts> find_process(int proc, pid_t pid) {
  const UniqueFd dir = find_at(proc, std::to_string(pid), O_RDONLY | O_DIRECTORY);
  if (!dir) return std::nullopt;
  const std::string text = read_some(dir.get(), "stat", 4096);
  // The name may contain blanks and parentheses: it ends with the last one.
  const std::size_t begin = text.find('(');
  const std::size_t end = text.rfind(')');
  if (begin == std::string::npos || end == std::string::npos || end < begin || end + 2 >= text.size()) {
    return std::nullopt;
  }
  ProcessFacts process;
  process.pid = pid;
  process.name = to_printable(text.substr(begin + 1, end - begin - 1));
  process.state = text[end + 2];
  for (const std::string_view one : split(std::string_view(text).substr(end + 3), " \n")) {
    process.stat.push_back(to_number(one));
  }
  process.command_line = read_command_line(dir.get());
  read_ids(process, dir.get());
  process.cgroup = to_printable(read_some(dir.get(), "cgroup", 4096));
  while (process.cgroup.ends_with('?')) process.cgroup.pop_back();
  std::replace(process.cgroup.begin(), process.cgroup.end(), '?', ',');
  process.wait_channel = to_printable(read_some(dir.get(), "wchan", 128));
  return process;
}

// --- columns
// -----------------------------------------------------------------------------------------------------------

std::string pad2(std::int64_t number) { return concat(number < 10 ? "0" : "", number); }

std::string one_decimal(double value) {
  const auto tenths = static_cast<std::int64_t>(value * 10);
  return concat(tenths / 10, '.', tenths % 10);
}

std::int64_t cpu_seconds(const ProcessFacts& p, const HostFacts& h) {
  return (p.field(14) + p.field(15)) / h.ticks_per_second;
}

double elapsed_seconds(const ProcessFacts& p, const HostFacts& h) {
  return std::max(0.0, h.uptime - static_cast<double>(p.field(22)) / static_cast<double>(h.ticks_per_second));
}

double cpu_percent(const ProcessFacts& p, const HostFacts& h) {
  const double elapsed = elapsed_seconds(p, h);
  const double used = static_cast<double>(p.field(14) + p.field(15)) / static_cast<double>(h.ticks_per_second);
  return elapsed > 0 ? used / elapsed * 100 : 0;
}

std::string cpu_time(const ProcessFacts& p, const HostFacts& h) {
  const std::int64_t total = cpu_seconds(p, h);
  const std::string days = total >= 86400 ? concat(total / 86400, '-') : "";
  return concat(days, pad2(total / 3600 % 24), ':', pad2(total / 60 % 60), ':', pad2(total % 60));
}

std::string bsd_cpu_time(const ProcessFacts& p, const HostFacts& h) {
  const std::int64_t total = cpu_seconds(p, h);
  return concat(total / 60, ':', pad2(total % 60));
}

std::string elapsed_time(const ProcessFacts& p, const HostFacts& h) {
  const auto total = static_cast<std::int64_t>(elapsed_seconds(p, h));
  std::string text = concat(pad2(total / 60 % 60), ':', pad2(total % 60));
  if (total >= 3600) text = concat(pad2(total / 3600 % 24), ':', text);
  if (total >= 86400) text = concat(total / 86400, '-', text);
  return text;
}

std::string format_time(const char* format, std::time_t time) {
  std::tm parts{};
  ::localtime_r(&time, &parts);
  char text[64];
  return {text, std::strftime(text, sizeof text, format, &parts)};
}

std::time_t start_seconds(const ProcessFacts& p, const HostFacts& h) {
  return h.boot_time + p.field(22) / h.ticks_per_second;
}

/// Today the time, this year the day, else the year.
std::string start_time(const ProcessFacts& p, const HostFacts& h) {
  const std::time_t start = start_seconds(p, h);
  if (format_time("%Y", start) != format_time("%Y", h.now)) return format_time("%Y", start);
  return format_time(format_time("%j", start) == format_time("%j", h.now) ? "%H:%M" : "%b%d", start);
}

std::string started(const ProcessFacts& p, const HostFacts& h) {
  const std::time_t start = start_seconds(p, h);
  return format_time(h.now - start < 86400 ? "%H:%M:%S" : "%b %d", start);
}

std::string terminal(const ProcessFacts& p, const HostFacts&) {
  const auto device = static_cast<dev_t>(p.field(7));
  const unsigned high = major(device);
  const unsigned low = minor(device);
  if (high >= 136 && high <= 143) return concat("pts/", (high - 136) * 256 + low);
  if (high == 4) return low < 64 ? concat("tty", low) : concat("ttyS", low - 64);
  if (high == 5 && low == 1) return "console";
  return "?";
}

std::string name_of(const std::map<std::uint32_t, std::string>& names, std::uint32_t id) {
  const auto found = names.find(id);
  if (found == names.end()) return std::to_string(id);
  if (found->second.size() <= user_column_width) return found->second;
  return found->second.substr(0, user_column_width - 1) + "+";
}

std::string command_name(const ProcessFacts& p, const HostFacts&) {
  return p.state == 'Z' ? p.name + " <defunct>" : p.name;
}

std::string command_line(const ProcessFacts& p, const HostFacts&) {
  if (!p.command_line.empty()) return p.command_line;
  return concat('[', p.name, ']', p.state == 'Z' ? " <defunct>" : "");
}

std::string state_flags(const ProcessFacts& p, const HostFacts&) {
  std::string text(1, p.state);
  if (p.field(19) < 0) text += '<';
  if (p.field(19) > 0) text += 'N';
  if (p.has_locked_memory) text += 'L';
  if (p.field(6) == p.pid) text += 's';
  if (p.field(20) > 1) text += 'l';
  if (p.field(8) > 0 && p.field(8) == p.field(5)) text += '+';
  return text;
}

template <std::size_t number>
std::string number_field(const ProcessFacts& p, const HostFacts&) {
  return std::to_string(p.field(number));
}

std::string pid_text(const ProcessFacts& p, const HostFacts&) { return std::to_string(p.pid); }
std::string vsz(const ProcessFacts& p, const HostFacts&) { return std::to_string(p.field(23) / 1024); }
std::string rss(const ProcessFacts& p, const HostFacts& h) { return std::to_string(p.field(24) * h.page_kib); }
std::string pages(const ProcessFacts& p, const HostFacts& h) { return std::to_string(p.field(23) / 1024 / h.page_kib); }
std::string cpu_share(const ProcessFacts& p, const HostFacts& h) { return one_decimal(cpu_percent(p, h)); }
std::string cpu_whole(const ProcessFacts& p, const HostFacts& h) {
  return std::to_string(std::min<std::int64_t>(99, static_cast<std::int64_t>(cpu_percent(p, h))));
}
std::string memory_share(const ProcessFacts& p, const HostFacts& h) {
  return one_decimal(100.0 * static_cast<double>(p.field(24) * h.page_kib) / static_cast<double>(h.memory_kib));
}
std::string elapsed_whole(const ProcessFacts& p, const HostFacts& h) {
  return std::to_string(static_cast<std::int64_t>(elapsed_seconds(p, h)));
}
std::string started_long(const ProcessFacts& p, const HostFacts& h) {
  return format_time("%a %b %e %H:%M:%S %Y", start_seconds(p, h));
}
std::string user(const ProcessFacts& p, const HostFacts& h) { return name_of(h.users, p.effective_uid); }
std::string real_user(const ProcessFacts& p, const HostFacts& h) { return name_of(h.users, p.real_uid); }
std::string group(const ProcessFacts& p, const HostFacts& h) { return name_of(h.groups, p.effective_gid); }
std::string real_group(const ProcessFacts& p, const HostFacts& h) { return name_of(h.groups, p.real_gid); }
std::string uid(const ProcessFacts& p, const HostFacts&) { return std::to_string(p.effective_uid); }
std::string real_uid(const ProcessFacts& p, const HostFacts&) { return std::to_string(p.real_uid); }
std::string gid(const ProcessFacts& p, const HostFacts&) { return std::to_string(p.effective_gid); }
std::string real_gid(const ProcessFacts& p, const HostFacts&) { return std::to_string(p.real_gid); }
std::string state(const ProcessFacts& p, const HostFacts&) { return std::string(1, p.state); }
std::string flags(const ProcessFacts& p, const HostFacts&) { return std::to_string(p.field(9) >> flag_forked & 7); }
// ps knows three scales of the same number.
std::string priority(const ProcessFacts& p, const HostFacts&) { return std::to_string(39 - p.field(18)); }
std::string old_priority(const ProcessFacts& p, const HostFacts&) { return std::to_string(p.field(18) + 60); }
std::string no_address(const ProcessFacts&, const HostFacts&) { return "-"; }
std::string cgroup(const ProcessFacts& p, const HostFacts&) { return p.cgroup; }
std::string wait_channel(const ProcessFacts& p, const HostFacts&) {
  return p.wait_channel.empty() || p.wait_channel == "0" ? "-" : p.wait_channel;
}

/// A column: its name after -o, its title, its text (man 1 ps, "STANDARD FORMAT SPECIFIERS").
struct Column {
  std::string_view name;
  std::string_view title;
  std::string (*text)(const ProcessFacts&, const HostFacts&);
};

constexpr Column columns[] = {
    {"pid", "PID", pid_text},
    {"tgid", "TGID", pid_text},
    {"lwp", "LWP", pid_text},
    {"tid", "TID", pid_text},
    {"ppid", "PPID", number_field<4>},
    {"pgid", "PGID", number_field<5>},
    {"pgrp", "PGRP", number_field<5>},
    {"sid", "SID", number_field<6>},
    {"sess", "SESS", number_field<6>},
    {"session", "SESS", number_field<6>},
    {"tpgid", "TPGID", number_field<8>},
    {"user", "USER", user},
    {"euser", "EUSER", user},
    {"uname", "USER", user},
    {"ruser", "RUSER", real_user},
    {"group", "GROUP", group},
    {"egroup", "EGROUP", group},
    {"rgroup", "RGROUP", real_group},
    {"uid", "UID", uid},
    {"euid", "EUID", uid},
    {"ruid", "RUID", real_uid},
    {"gid", "GID", gid},
    {"egid", "EGID", gid},
    {"rgid", "RGID", real_gid},
    {"comm", "COMMAND", command_name},
    {"ucomm", "COMMAND", command_name},
    {"ucmd", "CMD", command_name},
    {"cmd", "CMD", command_line},
    {"args", "COMMAND", command_line},
    {"command", "COMMAND", command_line},
    {"stat", "STAT", state_flags},
    {"s", "S", state},
    {"state", "S", state},
    {"c", "C", cpu_whole},
    {"pcpu", "%CPU", cpu_share},
    {"%cpu", "%CPU", cpu_share},
    {"pmem", "%MEM", memory_share},
    {"%mem", "%MEM", memory_share},
    {"vsz", "VSZ", vsz},
    {"vsize", "VSZ", vsz},
    {"rss", "RSS", rss},
    {"rsz", "RSZ", rss},
    {"rssize", "RSS", rss},
    {"sz", "SZ", pages},
    {"tty", "TT", terminal},
    {"tt", "TT", terminal},
    {"tname", "TTY", terminal},
    {"time", "TIME", cpu_time},
    {"cputime", "TIME", cpu_time},
    {"bsdtime", "TIME", bsd_cpu_time},
    {"etime", "ELAPSED", elapsed_time},
    {"etimes", "ELAPSED", elapsed_whole},
    {"stime", "STIME", start_time},
    {"start_time", "START", start_time},
    {"bsdstart", "START", start_time},
    {"start", "STARTED", started},
    {"lstart", "STARTED", started_long},
    {"nlwp", "NLWP", number_field<20>},
    {"thcount", "THCNT", number_field<20>},
    {"ni", "NI", number_field<19>},
    {"nice", "NI", number_field<19>},
    {"pri", "PRI", priority},
    {"opri", "PRI", old_priority},
    {"priority", "PRI", number_field<18>},
    {"psr", "PSR", number_field<39>},
    {"minflt", "MINFL", number_field<10>},
    {"majflt", "MAJFL", number_field<12>},
    {"f", "F", flags},
    {"flag", "F", flags},
    {"flags", "F", flags},
    {"addr", "ADDR", no_address},
    {"wchan", "WCHAN", wait_channel},
    {"cgroup", "CGROUP", cgroup},
};

// --- arguments
// ---------------------------------------------------------------------------------------------------------

/// What is to be printed.
struct Wish {
  std::vector<std::pair<const Column*, std::string>> columns;  ///< with their titles
  std::optional<std::set<pid_t>> pids;
};

Error refuse(std::string_view what) { return Error(ErrorKind::invalid_argument, concat("ps: unsupported ", what)); }

void add_column(Wish& wish, std::string_view name, std::optional<std::string_view> title = {}) {
  const auto found =
      std::find_if(std::begin(columns), std::end(columns), [&](const Column& one) { return one.name == name; });
  if (found == std::end(columns)) throw refuse(concat("column \"", name, "\""));
  if (title && title->starts_with("PID") && name != "pid") {
    // The engine finds the processes by that column's title.
    throw Error(ErrorKind::invalid_argument, concat("specifying \"", name, '=', *title, "\" is not allowed"));
  }
  wish.columns.emplace_back(&*found, title.value_or(found->title));
}

/// "pid,user,comm" or "pid=Process": the title takes the rest of the argument.
void add_format(Wish& wish, std::string_view list) {
  while (!list.empty()) {
    const std::size_t end = list.find_first_of(",=");
    const std::string_view name = list.substr(0, end);
    if (end != std::string_view::npos && list[end] == '=') {
      add_column(wish, name, list.substr(end + 1));
      return;
    }
    add_column(wish, name);
    list.remove_prefix(end == std::string_view::npos ? list.size() : end + 1);
  }
}

void add_pids(Wish& wish, std::string_view list) {
  if (!wish.pids) wish.pids.emplace();
  for (const std::string_view one : split(list, ",")) {
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(one.data(), one.data() + one.size(), pid);
    if (error != std::errc{} || end != one.data() + one.size()) throw refuse(concat("process ID \"", one, "\""));
    wish.pids->insert(pid);
  }
}

constexpr std::string_view format_plain = "pid,tname,time,ucmd";
constexpr std::string_view format_bsd_plain = "pid,tname,stat,bsdtime,args";
constexpr std::string_view format_bsd_user = "user,pid,pcpu,pmem,vsz,rss,tname,stat,start_time,bsdtime,args";
constexpr std::string_view format_bsd_long = "f,uid,pid,ppid,priority,ni,vsz,rss,wchan,stat,tname,bsdtime,args";
constexpr std::string_view format_bsd_jobs = "ppid,pid,pgid,sid,tname,tpgid,stat,uid,bsdtime,args";
constexpr std::string_view format_long = "f,s,uid,pid,ppid,c,opri,ni,addr,sz,wchan,tname,time,ucmd";
constexpr std::string_view format_jobs = "pid,pgid,sid,tname,time,ucmd";

void add_full_format(Wish& wish, bool extra) {
  add_column(wish, "user", "UID");
  add_format(wish, extra ? "pid,ppid,c,sz,rss,psr,stime,tname,time,cmd" : "pid,ppid,c,stime,tname,time,cmd");
}

/// The letters of all groups, for the format that they choose together.
struct Letters {
  std::string dashed, bsd;
  bool has(char letter) const { return dashed.find(letter) != std::string::npos; }
  bool has_bsd(char letter) const { return bsd.find(letter) != std::string::npos; }
};

void choose_format(Wish& wish, const Letters& letters) {
  if (letters.has('F') || letters.has('f')) return add_full_format(wish, letters.has('F'));
  if (letters.has('l')) return add_format(wish, format_long);
  if (letters.has('j')) return add_format(wish, format_jobs);
  if (letters.has_bsd('u')) return add_format(wish, format_bsd_user);
  if (letters.has_bsd('l')) return add_format(wish, format_bsd_long);
  if (letters.has_bsd('j')) return add_format(wish, format_bsd_jobs);
  add_format(wish, letters.bsd.empty() ? format_plain : format_bsd_plain);
}

Wish parse_arguments(std::string_view text) {
  const std::vector<std::string_view> words = split(text.empty() ? "-ef" : text, " \t\n\r\v\f");
  Wish wish;
  Letters letters;
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string_view word = words[i];
    const auto value = [&](std::string_view rest) {
      if (!rest.empty()) return rest;
      if (i + 1 >= words.size()) throw refuse(concat("option without a value: ", words[i]));
      return words[++i];
    };
    if (word.starts_with("--")) {
      const std::size_t equals = word.find('=');
      const std::string_view name = word.substr(2, equals == std::string_view::npos ? equals : equals - 2);
      const std::string_view given = equals == std::string_view::npos ? "" : word.substr(equals + 1);
      if (name == "format") {
        add_format(wish, value(given));
      } else if (name == "pid") {
        add_pids(wish, value(given));
      } else if (name != "everyone") {
        throw refuse(concat("option ", word));
      }
      continue;
    }
    const bool dashed = word.starts_with('-');
    if (dashed) word.remove_prefix(1);
    // "-aux" is read as "aux", as ps does when there is no user x.
    const bool is_bsd =
        !dashed || (word.find('a') != std::string_view::npos && word.find('u') != std::string_view::npos);
    for (std::size_t at = 0; at < word.size(); ++at) {
      const char letter = word[at];
      if (letter == 'o' || letter == 'p') {
        const std::string_view given = value(word.substr(at + 1));
        letter == 'o' ? add_format(wish, given) : add_pids(wish, given);
        break;
      }
      if ((is_bsd ? std::string_view("auxljw") : std::string_view("eAadxfFljw")).find(letter) ==
          std::string_view::npos) {
        throw refuse(concat("option ", words[i]));
      }
      (is_bsd ? letters.bsd : letters.dashed).push_back(letter);
    }
  }
  if (wish.columns.empty()) choose_format(wish, letters);
  return wish;
}

}  // namespace

ProcessTable list_processes(const std::vector<pid_t>& pids, std::string_view arguments, const ProcessSources& sources) {
  const Wish wish = parse_arguments(arguments);
  ProcessTable table;
  for (const auto& [column, title] : wish.columns) table.titles.push_back(title);
  if (std::find(table.titles.begin(), table.titles.end(), "PID") == table.titles.end()) {
    throw Error(ErrorKind::invalid_argument, "Couldn't find PID field in ps output");
  }
  const HostFacts host = read_host(sources);
  const UniqueFd proc = open_file(sources.proc, O_RDONLY | O_DIRECTORY);
  for (const pid_t pid : std::set<pid_t>(pids.begin(), pids.end())) {
    if (wish.pids && !wish.pids->contains(pid)) continue;
    const std::optional<ProcessFacts> process = find_process(proc.get(), pid);
    if (!process) continue;
    std::vector<std::string>& row = table.rows.emplace_back();
    for (const auto& [column, title] : wish.columns) row.push_back(column->text(*process, host));
  }
  return table;
}

}  // namespace mydocker::engine
