#include "api/types/container.h"
#include "cli/command.h"
#include "cli/options/words.h"
#include "cli/reference.h"
#include "cli/terminal.h"

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

constexpr Command commands[] = {
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
