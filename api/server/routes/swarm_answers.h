#pragma once

#include <string_view>

#include "api/server/routes/routes.h"

/// What a node outside a swarm answers (ENDPOINTS 10).
namespace mydocker::api {

/// 503 "This node is not a swarm manager. ...".
awaitable<void> answer_no_manager(Engine& engine, const Request& request, Writer& out);

/// Updates name the version of what they change. Throws Error{invalid_argument} "invalid node version ''".
void check_object_version(const Request& request, std::string_view object);

}  // namespace mydocker::api
