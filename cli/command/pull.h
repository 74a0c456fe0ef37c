#pragma once

#include <string>

#include "cli/command.h"

namespace mydocker::cli {

struct PullRequest {
  std::string reference;
  std::string platform;
  bool quiet = false;
  int progress_fd = 1;
  bool all_tags = false;
};

/// Pulls with the stored login of the registry and shows the progress. Throws Error with the engine's words.
void pull_image(Session& session, const PullRequest& request);

}  // namespace mydocker::cli
