#pragma once

namespace mydocker::storage {

/// Copies what is in the directory `source` into the empty directory `target`, with owners, modes, times, xattrs and
/// hard links; the attributes of `source` itself, too. Sockets are left out. Runs in the confined worker with umask 0.
void copy_tree(int source, int target);

}  // namespace mydocker::storage
