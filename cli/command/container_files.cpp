#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "api/types/container.h"
#include "cli/command.h"
#include "cli/options/words.h"
#include "cli/reference.h"
#include "cli/tar_stream.h"
#include "cli/terminal.h"
#include "cli/units.h"
#include "engine/base/base64.h"
#include "engine/base/sys.h"

namespace mydocker::cli {
namespace {

using enum FlagKind;

constexpr Flag commit_flags[] = {
    {"author", 'a', single, "string", "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")"},
    {"change", 'c', list, "list", "Apply Dockerfile instruction to the created image"},
    {"message", 'm', single, "string", "Commit message"},
    {"pause", 'p', boolean, "", "Pause container during commit (default true)"},
};

int commit(Session& session, const Arguments& arguments) {
  ApiCall call{.method = "POST", .path = "/commit", .query = {{"container", arguments.positionals[0]}}};
  if (arguments.positionals.size() > 1) {
    const ImageReference reference = parse_reference(arguments.positionals[1]);
    if (!reference.digest.empty()) throw CommandFailure(1, "refusing to create a tag with a digest reference");
    call.query.emplace_back("repo", reference.familiar_name());
    call.query.emplace_back("tag", reference.tag.empty() ? "latest" : reference.tag);
  }
  call.query.emplace_back("comment", arguments.text("message"));
  call.query.emplace_back("author", arguments.text("author"));
  for (const std::string& change : arguments.list("change")) call.query.emplace_back("changes", change);
  if (!arguments.enabled("pause", true)) call.query.emplace_back("pause", "0");
  print(from_json<api::IdResponse>(session.api().call_json(call)).id + "\n");
  return 0;
}

// --- cp ---

constexpr Flag cp_flags[] = {
    {"archive", 'a', boolean, "", "Archive mode (copy all uid/gid information)"},
    {"follow-link", 'L', boolean, "", "Always follow symbol link in SRC_PATH"},
    {"quiet", 'q', boolean, "", "Suppress progress output during copy"},
};

/// X-Docker-Container-Path-Stat.
struct PathStat {
  std::string name;
  std::int64_t size_bytes = 0;
  std::uint32_t mode = 0;  ///< Go's bits
  std::string link_target;

  static constexpr std::uint32_t directory_bit = 1U << 31;
  static constexpr std::uint32_t symlink_bit = 1U << 27;
  static constexpr std::uint32_t special_bits = 1U << 26 | 1U << 25 | 1U << 24 | 1U << 21;  // devices, pipe, socket
  bool is_directory() const noexcept { return (mode & directory_bit) != 0; }

  static constexpr auto json_fields() {
    using T = PathStat;
    return std::tuple(field("name", &T::name), field("size", &T::size_bytes), field("mode", &T::mode),
                      field("linkTarget", &T::link_target));
  }
};

struct CopyPlace {
  std::string container;  ///< "" = a local path
  std::string path;
};

// "web:/etc"; a path that begins with "/" or "." is local whatever it contains.
CopyPlace parse_place(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (text.starts_with('/') || text.starts_with('.') || colon == std::string::npos) return {"", text};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

bool means_contents(std::string_view path) { return path == "." || path.ends_with("/."); }

std::string_view without_trailing(std::string_view path) {
  while (path.size() > 1 && (path.ends_with('/') || path.ends_with("/."))) path.remove_suffix(1);
  return path;
}

std::string base_name(std::string_view path) {
  path = without_trailing(path);
  return std::string(path.substr(path.rfind('/') + 1));
}

std::string directory_name(std::string_view path) {
  path = without_trailing(path);
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

std::string absolute_path(const std::string& path) { return std::filesystem::absolute(path).lexically_normal(); }

std::optional<struct stat> local_stat(const std::string& path) {
  struct stat file{};
  if (::stat(path.c_str(), &file) != 0) return std::nullopt;
  return file;
}

PathStat read_stat(const HttpHead& head) {
  const auto text = decode_base64(head.header("X-Docker-Container-Path-Stat"));
  return from_json<PathStat>(parse_json(text.value_or("{}")));
}

std::string archive_path(const std::string& container) {
  return concat("/containers/", path_part(container), "/archive");
}

struct ContainerPath {
  std::string path;
  std::optional<PathStat> stat;  ///< nullopt: there is nothing
};

// Links are followed to their end, which may be a place where nothing is yet.
ContainerPath follow_links(Session& session, const std::string& container, std::string path) {
  for (int hop = 0; hop < 40; ++hop) {
    ApiStream stream =
        session.api().open_head({.method = "HEAD", .path = archive_path(container), .query = {{"path", path}}});
    if (stream.head.status >= 400) return {path, std::nullopt};
    const PathStat stat = read_stat(stream.head);
    if ((stat.mode & PathStat::symlink_bit) == 0 || stat.link_target.empty()) return {path, stat};
    path = stat.link_target;
  }
  throw Error(ErrorKind::invalid_argument, concat("too many links: ", path));
}

// As in docker: who watches is told, a script is not.
void report_copy(const Arguments& arguments, std::uint64_t bytes, const std::string& target) {
  if (arguments.enabled("quiet", !is_terminal(STDOUT_FILENO))) return;
  print_error(concat("Successfully copied ", human_size(static_cast<double>(bytes), 3), " to ", target, "\n"));
}

int copy_out(Session& session, const Arguments& arguments, const CopyPlace& source, const std::string& target) {
  std::string path = source.path;
  if (arguments.enabled("follow-link")) {
    ApiStream head =
        session.api().open_head({.method = "HEAD", .path = archive_path(source.container), .query = {{"path", path}}});
    if (head.head.status < 400) {
      const PathStat stat = read_stat(head.head);
      if ((stat.mode & PathStat::symlink_bit) != 0) path = stat.link_target;
    }
  }
  ApiStream stream = session.api().open({.path = archive_path(source.container), .query = {{"path", path}}});
  if (target == "-") {
    if (is_terminal(STDOUT_FILENO)) throw CommandFailure(1, "cowardly refusing to write a tar archive to a terminal");
    for (std::string_view piece = stream.connection.read_body(); !piece.empty();
         piece = stream.connection.read_body()) {
      write_all(STDOUT_FILENO, piece);
    }
    return 0;
  }
  const PathStat stat = read_stat(stream.head);
  const auto existing = local_stat(target);
  const bool into_directory = existing && S_ISDIR(existing->st_mode);
  if (existing && !into_directory && !S_ISREG(existing->st_mode)) {
    throw CommandFailure(1, concat("invalid output path: \"", target, "\" must be a directory or a regular file: got ",
                                   S_ISCHR(existing->st_mode) || S_ISBLK(existing->st_mode) ? "a device" : "neither"));
  }
  if (existing && !into_directory && stat.is_directory()) throw CommandFailure(1, "cannot copy directory");
  const std::string parent = directory_name(target);
  if (!existing && !local_stat(parent)) {
    throw CommandFailure(1, concat("invalid output path: directory \"", parent, "\" does not exist"));
  }
  if (!existing && !stat.is_directory() && target.ends_with('/')) throw CommandFailure(1, "no such directory");
  const bool contents = means_contents(path);
  if (contents && !existing) make_dirs(target);
  const Ownership ownership = arguments.enabled("archive") ? Ownership::archive : Ownership::caller;
  TarTarget unpack = contents         ? TarTarget(target, "", "", ownership)
                     : into_directory ? TarTarget(target, "", "", ownership)
                                      : TarTarget(parent, base_name(path), base_name(target), ownership);
  std::uint64_t bytes = 0;
  for (std::string_view piece = stream.connection.read_body(); !piece.empty(); piece = stream.connection.read_body()) {
    bytes += piece.size();
    unpack.feed(piece);
  }
  unpack.finish();
  report_copy(arguments, bytes, target);
  return 0;
}

int copy_in(Session& session, const Arguments& arguments, const std::string& source, const CopyPlace& target) {
  const ContainerPath found = follow_links(session, target.container, target.path);
  const std::optional<PathStat>& existing = found.stat;
  const std::string destination =
      concat("destination \"", target.container, ":", target.path, "\" must be a directory");
  if (existing && (existing->mode & PathStat::special_bits) != 0)
    throw CommandFailure(1, concat(destination, " or a regular file"));
  const bool into_directory = existing && existing->is_directory();
  ApiCall call{.method = "PUT", .path = archive_path(target.container), .query = {{"noOverwriteDirNonDir", "true"}}};
  if (arguments.enabled("archive")) call.query.emplace_back("copyUIDGID", "true");
  call.headers.emplace_back("Content-Type", "application/x-tar");
  std::uint64_t bytes = 0;
  if (source == "-") {
    if (!into_directory) throw CommandFailure(1, destination);
    call.query.emplace_back("path", found.path);
    std::vector<char> buffer(std::size_t{256} << 10);
    session.api().upload(call, [&]() -> std::string_view {
      const ssize_t got = retry_on_eintr([&] { return ::read(STDIN_FILENO, buffer.data(), buffer.size()); });
      if (got < 0) throw sys_error("read");
      return {buffer.data(), static_cast<std::size_t>(got)};
    });
    return 0;
  }
  const auto file = local_stat(source);
  struct stat link{};
  if (!file && ::lstat(source.c_str(), &link) != 0)
    throw CommandFailure(1, concat("lstat ", absolute_path(source), ": no such file or directory"));
  const bool directory = file && S_ISDIR(file->st_mode) &&
                         (arguments.enabled("follow-link") || means_contents(source) || source.ends_with('/') ||
                          (::lstat(source.c_str(), &link) == 0 && S_ISDIR(link.st_mode)));
  if (existing && !into_directory && directory) throw CommandFailure(1, "cannot copy directory");
  if (!existing && !directory && target.path.ends_with('/')) throw CommandFailure(1, "no such directory");
  std::string name = base_name(found.path);
  std::string place = directory_name(found.path);
  if (into_directory) {
    name = means_contents(source) ? "." : base_name(source);
    place = found.path;
  }
  call.query.emplace_back("path", place);
  TarSource tar(std::string(without_trailing(source)), name, arguments.enabled("follow-link") || source.ends_with('/'));
  session.api().upload(call, [&] {
    const std::string_view piece = tar.next();
    bytes += piece.size();
    return piece;
  });
  report_copy(arguments, bytes, concat(target.container, ":", target.path));
  return 0;
}

int cp(Session& session, const Arguments& arguments) {
  const CopyPlace source = parse_place(arguments.positionals[0]);
  const CopyPlace target = parse_place(arguments.positionals[1]);
  if (source.path.empty()) throw CommandFailure(1, "source can not be empty");
  if (target.path.empty()) throw CommandFailure(1, "destination can not be empty");
  if (!source.container.empty() && !target.container.empty())
    throw CommandFailure(1, "copying between containers is not supported");
  if (!source.container.empty()) return copy_out(session, arguments, source, target.path);
  if (!target.container.empty()) return copy_in(session, arguments, source.path, target);
  throw CommandFailure(1, "must specify at least one container source");
}

constexpr Command commands[] = {
    {.name = "cp",
     .usage = "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tmydocker cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
     .summary = "Copy files/folders between a container and the local filesystem",
     .least_arguments = 2,
     .most_arguments = 2,
     .flags = cp_flags,
     .run = cp},
    {.name = "commit",
     .usage = "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
     .summary = "Create a new image from a container's changes",
     .least_arguments = 1,
     .most_arguments = 2,
     .flags = commit_flags,
     .run = commit},
};

}  // namespace

std::span<const Command> container_file_commands() { return commands; }

}  // namespace mydocker::cli
