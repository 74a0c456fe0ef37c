#pragma once

#include <string>

#include "engine/container.h"

/// The log option `tag`: a Go template over what Docker's log drivers know of a container: {{.Name}}, {{.ID}},
/// {{.ImageName}}, {{index .ContainerLabels "tier"}}, {{(.ExtraAttributes nil).MODE}}. Pure, but for the host's name.
namespace mydocker::engine {

/// Throws Error{invalid_argument} for what is no template, or names what is not known.
void check_log_tag(const std::string& text);
/// `attributes`: labels and variables that the log options choose.
std::string make_log_tag(const std::string& text, const ContainerRecord& record, const api::StringMap& attributes);

}  // namespace mydocker::engine
