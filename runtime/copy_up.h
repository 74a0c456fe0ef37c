#pragma once

namespace mydocker::runtime {

/// Copies what the directory `from` holds into the directory `to`: contents, owners, modes, times, links, devices. Both
/// are descriptors; no link is ever followed. For the "tmpcopyup" mount option (init stage). Throws Error{internal}.
void copy_up(int from, int to);

}  // namespace mydocker::runtime
