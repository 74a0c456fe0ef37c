#pragma once

#include <map>
#include <string>

#include "api/types/container.h"
#include "engine/base/time.h"
#include "engine/container.h"
#include "engine/mount_plan.h"
#include "engine/options.h"
#include "storage/paths.h"

/// How a container looks from outside: inspect and list (WIRE 14, 15). Pure but for the clock handed in.
namespace mydocker::engine {

struct ViewContext {
  const Options* options = nullptr;
  const storage::Paths* paths = nullptr;
  std::string sandbox_key;
  Timestamp now{};
  const std::map<std::string, std::string>* plain_networks = nullptr;  ///< "host", "none" -> network ID
};

/// The endpoint of a running container on "host" or "none": there is no link to number, so it follows from container
/// and network.
std::string make_plain_endpoint_id(const ContainerRecord& record, const std::string& network_id);

/// The mounts of a container with the names that its volumes got.
std::vector<PlannedMount> plan_record_mounts(const ContainerRecord& record);

api::ContainerInspect make_inspect(const Container& container, const ViewContext& context);
/// Without Image/ImageID, which need the image store, and sizes.
api::ContainerSummary make_summary(const Container& container, const ViewContext& context);

/// "Up 2 minutes (Paused)", "Exited (1) 3 hours ago" ...
std::string make_status_text(const Container& container, Timestamp now);
/// Path and arguments in one line, arguments with blanks in single quotes.
std::string make_command_text(const ContainerRecord& record);

}  // namespace mydocker::engine
