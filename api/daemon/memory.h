#pragma once

/// Keeps the engine small (DESIGN 3, SECURITY P2): it idles for months beside the containers that need the memory.
namespace mydocker::daemon {

/// Few arenas for a dozen pool threads, and large buffers go back to the kernel. Before the first thread.
void limit_allocator();

/// Gives free pages of the heap back to the kernel. About a millisecond.
void release_free_heap() noexcept;

/// Gives the kernel back the pages of program and libraries that only the start needed (relocation, initialisers): they
/// are clean copies of files, and what is needed again comes back by a minor fault. Never throws.
void release_start_up_pages() noexcept;

}  // namespace mydocker::daemon
