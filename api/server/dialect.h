#pragma once

#include <vector>

#include "api/server/api_version.h"
#include "api/types/container.h"
#include "api/types/image.h"
#include "api/types/network.h"

/// What differs for a client that asks for an older version of the API (WIRE 1.4; moby's version history). The engine
/// speaks the newest dialect: requests are lifted to it, responses are brought down from it. Switches that need facts
/// of the host or of an object are in the verbs, behind their `api_minor`. Pure.
namespace mydocker::api {

/// Fields that the version did not know yet are dropped, defaults that were others are filled in.
/// Throws Error{invalid_argument} where Docker refuses instead of dropping.
void fit_create_request(ContainerCreateRequest& request, ApiVersion version);

void fit_update_request(UpdateRequest& request, ApiVersion version);

void fit_container_list(std::vector<ContainerSummary>& list, ApiVersion version);
void fit_network(NetworkInspect& network, ApiVersion version);
/// The wire form of an image inspect.
json::value fit_image_inspect(const ImageInspect& image, ApiVersion version);

}  // namespace mydocker::api
