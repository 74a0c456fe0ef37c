#pragma once

#include <functional>
#include <string_view>

#include "storage/tar_reader.h"
#include "storage/worker_protocol.h"

/// The jobs on a container's files as the container sees them (docker cp). Each enters the container's root first and
/// keeps nothing of the host (SECURITY R27): whatever somebody in the container swaps meanwhile, every path leads to
/// something that the container can reach itself. Paths are absolute and clean. Errors: Error{not_found} when there is
/// no such path, Error{invalid_argument} in Docker's words for what cannot be.
namespace mydocker::storage {

using OutputSink = std::function<void(std::string_view bytes)>;

FileStat stat_file(const WorkerRequest& request);
void pack_file(const WorkerRequest& request, const OutputSink& output);
void extract_files(const WorkerRequest& request, const ByteSource& input);
void read_small_file(const WorkerRequest& request, const OutputSink& output);

}  // namespace mydocker::storage
