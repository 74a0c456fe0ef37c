#include "cli/command/pull.h"

#include "cli/progress.h"
#include "cli/reference.h"
#include "cli/terminal.h"

namespace mydocker::cli {

void pull_image(Session& session, const PullRequest& request) {
  const ImageReference reference = parse_reference(request.reference);
  ApiCall call{.method = "POST", .path = "/images/create"};
  call.query.emplace_back("fromImage", concat(reference.familiar_name()));
  if (!request.all_tags) {
    const std::string tag = !reference.digest.empty() ? reference.digest
                            : reference.tag.empty()   ? "latest"
                                                      : reference.tag;
    call.query.emplace_back("tag", tag);
  }
  if (!request.platform.empty()) call.query.emplace_back("platform", request.platform);
  call.headers.emplace_back("X-Registry-Auth", registry_auth_header(session.config, reference.domain));
  ApiStream stream = session.api().open(call);
  if (!request.quiet) {
    show_progress(stream, request.progress_fd);
    return;
  }
  // Errors in the stream count even when nothing is shown.
  ProgressDisplay nothing(-1, 0);
  JsonSequence sequence;
  for (std::string_view piece = stream.connection.read_body(); !piece.empty(); piece = stream.connection.read_body()) {
    sequence.feed(piece, [&](const json::value& value) {
      const auto message = from_json<api::ProgressMessage>(value);
      if (message.error_detail || !message.error.empty()) nothing.show(message);
    });
  }
}

}  // namespace mydocker::cli
