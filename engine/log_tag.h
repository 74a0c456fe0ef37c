#pragma once

#include <string>

#include "engine/container.h"

/// The log option `tag`: text with {{.ID}}, {{.FullID}}, {{.Name}}, {{.ImageID}}, {{.ImageFullID}}, {{.ImageName}},
/// {{.DaemonName}}, {{.Command}} and {{.Hostname}} in it. Pure.
namespace mydocker::engine {

/// Throws Error{invalid_argument} for anything else between {{ and }}.
void check_log_tag(const std::string& text);
std::string make_log_tag(const std::string& text, const ContainerRecord& record);

}  // namespace mydocker::engine
