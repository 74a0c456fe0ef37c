#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "engine/base/netlink.h"
#include "network/link.h"
#include "network/records.h"

/// The inside of a container's network namespace. Only a thread that then ends enters it (STYLE 3.10); what it opens
/// there is used from outside.
namespace mydocker::network {

/// Runs `work` in a short-lived thread inside the namespace and waits for it; what it throws is thrown here.
void run_in_netns(int netns_fd, const std::function<void()>& work);

/// A routing socket of that namespace. Any thread may use it.
NetlinkSocket open_socket_in_netns(int netns_fd);

/// Address, route and `lo`; `sysctls` of the link are written before it comes up (Error{invalid_argument} for one that
/// the kernel does not know or take). IPv6 of the link is turned off before it comes up, so that it never has a
/// link-local address (SECURITY N4). The link must be there. Throws Error{internal}.
void fill_netns(int netns_fd, const InnerLink& link, const std::vector<LinkSysctl>& sysctls);

}  // namespace mydocker::network
