#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "cli/command.h"
#include "cli/command/pull.h"
#include "cli/options/words.h"
#include "cli/progress.h"
#include "cli/reference.h"
#include "cli/terminal.h"
#include "engine/base/sys.h"

namespace mydocker::cli {
namespace {

using enum FlagKind;

constexpr std::size_t copy_bytes = std::size_t{256} << 10;

UniqueFd open_input(const std::string& path) {
  try {
    return open_file(path, O_RDONLY);
  } catch (const Error& error) {
    throw CommandFailure(1, concat("open ", path, ": ", to_lower(errno_text(error.errno_value()))));
  }
}

// Pieces of a file for an upload.
std::function<std::string_view()> reader_of(int fd, std::vector<char>& buffer) {
  buffer.resize(copy_bytes);
  return [fd, &buffer]() -> std::string_view {
    const ssize_t got = retry_on_eintr([&] { return ::read(fd, buffer.data(), buffer.size()); });
    if (got < 0) throw sys_error("read");
    return {buffer.data(), static_cast<std::size_t>(got)};
  };
}

/// A file that appears under its name only when it is complete.
class OutputFile {
 public:
  /// `what`: "save image".
  OutputFile(const std::string& path, std::string_view what)
      : path_(path), temporary_(concat(path, ".tmp-", ::getpid())) {
    try {
      fd_ = open_file(temporary_, O_WRONLY | O_CREAT | O_EXCL, 0600);
    } catch (const Error& error) {
      throw CommandFailure(
          1, concat("failed to ", what, ": open ", path, ": ", to_lower(errno_text(error.errno_value()))));
    }
  }
  ~OutputFile() {
    if (fd_) ::unlink(temporary_.c_str());
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  int fd() const noexcept { return fd_.get(); }
  void commit() {
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) throw sys_error("rename ", temporary_);
    fd_.reset();
  }

 private:
  std::string path_;
  std::string temporary_;
  UniqueFd fd_;
};

void copy_body(ApiStream& stream, int fd) {
  for (std::string_view piece = stream.connection.read_body(); !piece.empty(); piece = stream.connection.read_body()) {
    write_all(fd, piece);
  }
}

void save_stream(Session& session, const ApiCall& call, const std::string& path, std::string_view what) {
  // The file is made after the engine has agreed: a refusal leaves none.
  ApiStream stream = session.api().open(call);
  if (path.empty()) {
    flush_output();
    copy_body(stream, STDOUT_FILENO);
    return;
  }
  OutputFile file(path, what);
  copy_body(stream, file.fd());
  file.commit();
}

// --- pull, push ---

constexpr Flag pull_flags[] = {
    {"all-tags", 'a', boolean, "", "Download all tagged images in the repository"},
    {"disable-content-trust", 0, boolean, "", "Skip image verification", nullptr, true},
    {"platform", 0, single, "string", "Set platform if server is multi-platform capable"},
    {"quiet", 'q', boolean, "", "Suppress verbose output"},
};

int pull(Session& session, const Arguments& arguments) {
  const ImageReference reference = parse_reference(arguments.positionals[0]);
  const bool quiet = arguments.enabled("quiet");
  const bool all = arguments.enabled("all-tags");
  const bool name_only = reference.tag.empty() && reference.digest.empty();
  if (all && !name_only) throw CommandFailure(1, "tag can't be used with --all-tags/-a");
  if (name_only && !all && !quiet) {
    print("Using default tag: latest\n");
    flush_output();
  }
  pull_image(session, {arguments.positionals[0], arguments.text("platform"), quiet, STDOUT_FILENO, all});
  print((all ? concat(reference.domain, "/", reference.path) : reference.canonical()) + "\n");
  return 0;
}

constexpr Flag push_flags[] = {
    {"all-tags", 'a', boolean, "", "Push all tags of an image to the repository"},
    {"disable-content-trust", 0, boolean, "", "Skip image signing", nullptr, true},
    {"platform", 0, single, "string", "Push a platform-specific manifest"},
    {"quiet", 'q', boolean, "", "Suppress verbose output"},
};

int push(Session& session, const Arguments& arguments) {
  const ImageReference reference = parse_reference(arguments.positionals[0]);
  const bool quiet = arguments.enabled("quiet");
  const bool all = arguments.enabled("all-tags");
  if (all && (!reference.tag.empty() || !reference.digest.empty())) {
    throw CommandFailure(1, "tag can't be used with --all-tags/-a");
  }
  if (!all && reference.tag.empty() && !quiet) {
    print("Using default tag: latest\n");
    flush_output();
  }
  ApiCall call{.method = "POST", .path = concat("/images/", path_part(reference.familiar_name()), "/push")};
  if (!all) call.query.emplace_back("tag", reference.tag.empty() ? "latest" : reference.tag);
  call.headers.emplace_back("X-Registry-Auth", registry_auth_header(session.config, reference.domain));
  ApiStream stream = session.api().open(call);
  const UniqueFd nowhere = quiet ? open_file("/dev/null", O_WRONLY) : UniqueFd();
  show_progress(stream, quiet ? nowhere.get() : STDOUT_FILENO);
  if (quiet) print(reference.canonical() + "\n");
  return 0;
}

// --- load, save, import ---

constexpr Flag load_flags[] = {
    {"input", 'i', single, "string", "Read from tar archive file, instead of STDIN"},
    {"platform", 0, single, "string", "Load only the given platform variant"},
    {"quiet", 'q', boolean, "", "Suppress the load output"},
};

int load(Session& session, const Arguments& arguments) {
  const std::string path = arguments.text("input");
  UniqueFd file;
  if (!path.empty()) {
    file = open_input(path);
  } else if (is_terminal(STDIN_FILENO)) {
    throw CommandFailure(1, "requested load from stdin, but stdin is empty");
  }
  const bool quiet = arguments.enabled("quiet") || !is_terminal(STDOUT_FILENO);
  ApiCall call{.method = "POST", .path = "/images/load", .query = {{"quiet", quiet ? "1" : "0"}}};
  if (arguments.has("platform")) call.query.emplace_back("platform", arguments.text("platform"));
  call.headers.emplace_back("Content-Type", "application/x-tar");
  std::vector<char> buffer;
  ApiStream stream = session.api().upload(call, reader_of(file ? file.get() : STDIN_FILENO, buffer));
  if (stream.head.header("Content-Type").starts_with("application/json")) {
    show_progress(stream, STDOUT_FILENO);
  } else {
    copy_body(stream, STDOUT_FILENO);
  }
  return 0;
}

constexpr Flag save_flags[] = {
    {"output", 'o', single, "string", "Write to a file, instead of STDOUT"},
    {"platform", 0, single, "string", "Save only the given platform variant"},
};

void refuse_terminal(const std::string& path) {
  if (path.empty() && is_terminal(STDOUT_FILENO)) {
    throw CommandFailure(1, concat("cowardly refusing to save to a terminal. Use the -o flag or redirect"));
  }
}

int save(Session& session, const Arguments& arguments) {
  const std::string path = arguments.text("output");
  refuse_terminal(path);
  ApiCall call{.path = "/images/get"};
  for (const std::string& name : arguments.positionals) call.query.emplace_back("names", name);
  if (arguments.has("platform")) call.query.emplace_back("platform", arguments.text("platform"));
  save_stream(session, call, path, "save image");
  return 0;
}

constexpr Flag export_flags[] = {{"output", 'o', single, "string", "Write to a file, instead of STDOUT"}};

int export_container(Session& session, const Arguments& arguments) {
  const std::string path = arguments.text("output");
  refuse_terminal(path);
  save_stream(session, {.path = concat("/containers/", path_part(arguments.positionals[0]), "/export")}, path,
              "export container");
  return 0;
}

constexpr Flag import_flags[] = {
    {"change", 'c', list, "list", "Apply Dockerfile instruction to the created image"},
    {"message", 'm', single, "string", "Set commit message for imported image"},
    {"platform", 0, single, "string", "Set platform if server is multi-platform capable"},
};

int import_image(Session& session, const Arguments& arguments) {
  const std::string& source = arguments.positionals[0];
  ApiCall call{.method = "POST", .path = "/images/create"};
  const bool url = source.starts_with("http://") || source.starts_with("https://");
  call.query.emplace_back("fromSrc", url ? source : "-");
  if (arguments.positionals.size() > 1) {
    const ImageReference reference = parse_reference(arguments.positionals[1]);
    call.query.emplace_back("repo", reference.familiar_name());
    if (!reference.tag.empty()) call.query.emplace_back("tag", reference.tag);
  }
  for (const std::string& change : arguments.list("change")) call.query.emplace_back("changes", change);
  if (arguments.has("message")) call.query.emplace_back("message", arguments.text("message"));
  if (arguments.has("platform")) call.query.emplace_back("platform", arguments.text("platform"));
  if (url) {
    ApiStream stream = session.api().open(call);
    show_progress(stream, STDOUT_FILENO);
    return 0;
  }
  UniqueFd file;
  if (source != "-") file = open_input(source);
  call.headers.emplace_back("Content-Type", "application/x-tar");
  std::vector<char> buffer;
  ApiStream stream = session.api().upload(call, reader_of(file ? file.get() : STDIN_FILENO, buffer));
  show_progress(stream, STDOUT_FILENO);
  return 0;
}

constexpr Command commands[] = {
    {.name = "export",
     .usage = "[OPTIONS] CONTAINER",
     .summary = "Export a container's filesystem as a tar archive",
     .least_arguments = 1,
     .most_arguments = 1,
     .flags = export_flags,
     .run = export_container},
    {.name = "import",
     .usage = "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
     .summary = "Import the contents from a tarball to create a filesystem image",
     .least_arguments = 1,
     .flags = import_flags,
     .run = import_image},
    {.name = "load",
     .usage = "[OPTIONS]",
     .summary = "Load an image from a tar archive or STDIN",
     .most_arguments = 0,
     .flags = load_flags,
     .run = load},
    {.name = "pull",
     .usage = "[OPTIONS] NAME[:TAG|@DIGEST]",
     .summary = "Download an image from a registry",
     .least_arguments = 1,
     .most_arguments = 1,
     .flags = pull_flags,
     .run = pull},
    {.name = "push",
     .usage = "[OPTIONS] NAME[:TAG]",
     .summary = "Upload an image to a registry",
     .least_arguments = 1,
     .most_arguments = 1,
     .flags = push_flags,
     .run = push},
    {.name = "save",
     .usage = "[OPTIONS] IMAGE [IMAGE...]",
     .summary = "Save one or more images to a tar archive (streamed to STDOUT by default)",
     .least_arguments = 1,
     .flags = save_flags,
     .run = save},
};

}  // namespace

std::span<const Command> image_transfer_commands() { return commands; }

}  // namespace mydocker::cli
