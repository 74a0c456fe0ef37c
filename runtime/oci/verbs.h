#pragma once

#include <string>
#include <vector>

#include "runtime/oci/command_line.h"

/// The verbs of the OCI command line: each takes the words after its name and gives the exit code. Errors are thrown.
namespace mydocker::oci {

using Words = std::vector<std::string>;

int create(const GlobalOptions& options, const Words& words);
int start(const GlobalOptions& options, const Words& words);
int run(const GlobalOptions& options, const Words& words);
int exec(const GlobalOptions& options, const Words& words);
int kill(const GlobalOptions& options, const Words& words);
int delete_container(const GlobalOptions& options, const Words& words);
int pause(const GlobalOptions& options, const Words& words);
int resume(const GlobalOptions& options, const Words& words);
int state(const GlobalOptions& options, const Words& words);
int list(const GlobalOptions& options, const Words& words);
int ps(const GlobalOptions& options, const Words& words);
int events(const GlobalOptions& options, const Words& words);
int features(const GlobalOptions& options, const Words& words);
int spec(const GlobalOptions& options, const Words& words);
int update(const GlobalOptions& options, const Words& words);

}  // namespace mydocker::oci
