#include "engine/base/sys.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <thread>

#include "tests/support/requirements.h"
#include "tests/support/temp_tree.h"

namespace mydocker {
namespace {

using test::TempTree;

UniqueFd open_dir(const std::string& path) { return open_file(path, O_RDONLY | O_DIRECTORY); }

TEST(OpenInRoot, SymlinksAndDotsCannotLeaveTheRoot) {
  const TempTree tree{{"outside", "secret"}, {"root/etc/outside", "inside"}, {"root/outside", "inside"}};
  const UniqueFd root = open_dir(tree.path("root"));
  std::filesystem::create_symlink("../../../outside", tree.path("root/up"));
  std::filesystem::create_symlink("/outside", tree.path("root/absolute"));
  std::filesystem::create_symlink("/", tree.path("root/top"));

  for (const char* path : {"up", "absolute", "top/outside", "../outside", "etc/../../outside", "top/../up"}) {
    const UniqueFd fd = open_in_root(root.get(), path, O_RDONLY);
    EXPECT_EQ(read_all(fd.get(), 100, path), "inside") << path;
  }
}

TEST(OpenInRoot, MagicLinksAreRefused) {
  const TempTree tree{{"root/", ""}};
  const UniqueFd proc = open_dir("/proc");
  EXPECT_THROW_ERROR(open_in_root(proc.get(), "self/exe", O_RDONLY), ErrorKind::internal, "openat2");
}

TEST(OpenInRoot, AbsenceIsTellableFromFailure) {
  const TempTree tree{{"file", ""}};
  const UniqueFd root = open_dir(tree.path());
  EXPECT_FALSE(find_in_root(root.get(), "nope", O_RDONLY));
  EXPECT_FALSE(find_in_root(root.get(), "file/below", O_RDONLY));
  std::filesystem::create_symlink("loop", tree.path("loop"));
  EXPECT_THROW_ERROR(find_in_root(root.get(), "loop", O_RDONLY), ErrorKind::internal, "loop");
}

TEST(OpenBeneath, NoSymlinkIsFollowed) {
  const TempTree tree{{"file", "x"}};
  const UniqueFd root = open_dir(tree.path());
  std::filesystem::create_symlink("file", tree.path("link"));
  EXPECT_NO_THROW(open_beneath(root.get(), "file", O_RDONLY));
  EXPECT_THROW_ERROR(open_beneath(root.get(), "link", O_RDONLY), ErrorKind::internal, "link");
  EXPECT_THROW_ERROR(open_beneath(root.get(), "../x", O_RDONLY), ErrorKind::internal, "openat2");
}

TEST(MakeDirsInRoot, LinksAreResolvedInsideTheRoot) {
  const TempTree tree{{"root/real/", ""}};
  const UniqueFd root = open_dir(tree.path("root"));
  std::filesystem::create_symlink("/real", tree.path("root/link"));
  EXPECT_TRUE(make_dirs_in_root(root.get(), "link/a/b"));
  EXPECT_TRUE(tree.exists("root/real/a/b"));
  EXPECT_TRUE(make_dirs_in_root(root.get(), "/c/d"));
  EXPECT_TRUE(tree.exists("root/c/d"));
}

TEST(MakeDirsInRoot, ADanglingLinkOutwardsMakesNothingOutside) {
  const TempTree tree{{"root/", ""}};
  const UniqueFd root = open_dir(tree.path("root"));
  std::filesystem::create_symlink("../../escape", tree.path("root/link"));
  try {
    make_dirs_in_root(root.get(), "link/a");
  } catch (const Error&) {  // refusing is as good as making it inside
  }
  EXPECT_FALSE(tree.exists("escape"));
  EXPECT_FALSE(tree.exists("../escape"));
}

TEST(ReadFile, BeyondTheLimitIsTooLarge) {
  const TempTree tree{{"file", "12345"}};
  EXPECT_EQ(read_file(tree.path("file"), 5), "12345");
  EXPECT_THROW_ERROR(read_file(tree.path("file"), 4), ErrorKind::too_large, "larger than 4 bytes");
}

TEST(ReadFile, ErrorsNameTheCallAndTheFile) {
  EXPECT_THROW_ERROR(read_file("/nonexistent/x"), ErrorKind::internal, "/nonexistent/x: No such file or directory");
}

TEST(RemoveTree, EverythingGoesAndSymlinksAreNotFollowed) {
  const TempTree tree{{"keep/file", "x"}, {"gone/a/b/c", ""}, {"gone/d", ""}};
  std::filesystem::create_directory_symlink(tree.path("keep"), tree.path("gone/link"));
  remove_tree(tree.path("gone"));
  EXPECT_FALSE(tree.exists("gone"));
  EXPECT_TRUE(tree.exists("keep/file"));
}

/// A process that is ending may write into it meanwhile: the engine starts after a crash all the same.
TEST(RemoveTree, WhatIsWrittenMeanwhileGoesAsWell) {
  const TempTree tree{{"gone/first", ""}};
  const UniqueFd directory = open_dir(tree.path("gone"));
  std::atomic<bool> begun = false;
  std::jthread writer([&] {
    for (int i = 0; i < 20000; ++i) {  // ends by itself once the directory is gone
      const UniqueFd file = find_at(directory.get(), "f" + std::to_string(i), O_WRONLY | O_CREAT, 0600);
      begun = true;
      if (!file) return;
    }
  });
  while (!begun) std::this_thread::yield();
  EXPECT_NO_THROW(remove_tree(tree.path("gone")));
  EXPECT_FALSE(path_exists(tree.path("gone")));
}

TEST(RemoveTree, AbsenceIsFine) { EXPECT_NO_THROW(remove_tree("/nonexistent/a/b")); }

TEST(RemoveTree, AMountInsideIsNotEntered) {
  REQUIRE_NAMESPACES();
  const TempTree tree{{"gone/mounted/", ""}, {"gone/file", ""}};
  const pid_t child = ::fork();  // the mount lives and dies in the child's own namespace
  if (child == 0) {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", tree.path("gone/mounted").c_str(), "tmpfs", 0, nullptr) != 0) {
      ::_exit(2);
    }
    tree.write("gone/mounted/precious", "x");
    try {
      remove_tree(tree.path("gone"));
    } catch (const Error& error) {
      ::_exit(tree.exists("gone/mounted/precious") ? 0 : 3);
    }
    ::_exit(4);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Packets, DescriptorsTravelAndAreCloseOnExec) {
  auto [left, right] = make_socket_pair(SOCK_SEQPACKET);
  const Pipe pipe = make_pipe();
  const int fds[] = {pipe.write.get()};
  send_packet(left.get(), "hello", fds);

  std::optional<Packet> packet = receive_packet(right.get());
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->data, "hello");
  ASSERT_EQ(packet->fds.size(), 1U);
  EXPECT_NE(::fcntl(packet->fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
  write_all(packet->fds[0].get(), "through");
  char buffer[16];
  EXPECT_EQ(::read(pipe.read.get(), buffer, sizeof buffer), 7);
}

TEST(Packets, ATooLongOneIsRefusedAndItsDescriptorsClosed) {
  auto [left, right] = make_socket_pair(SOCK_SEQPACKET);
  Pipe pipe = make_pipe();
  const int fds[] = {pipe.write.get()};
  send_packet(left.get(), std::string(1000, 'x'), fds);
  pipe.write.reset();
  EXPECT_THROW_ERROR(receive_packet(right.get(), 100), ErrorKind::too_large, "packet too large");
  char byte = 0;
  EXPECT_EQ(::read(pipe.read.get(), &byte, 1), 0);  // the last writer is gone: nothing leaked
}

TEST(Packets, AClosedPeerIsTheEnd) {
  auto [left, right] = make_socket_pair(SOCK_SEQPACKET);
  left.reset();
  EXPECT_FALSE(receive_packet(right.get()));
}

TEST(UnixSockets, PathsOfAnyLengthWork) {
  const TempTree tree;
  const std::string directory = tree.path(std::string(200, 'd'));
  make_dirs(directory);
  const std::string path = directory + "/socket";
  const UniqueFd listener = listen_unix(path, SOCK_STREAM);
  EXPECT_TRUE(connect_unix(path, SOCK_STREAM));
  struct ::stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
}

TEST(UnixSockets, NobodyListeningIsUnavailable) {
  const TempTree tree;
  EXPECT_THROW_ERROR(connect_unix(tree.path("none"), SOCK_STREAM), ErrorKind::unavailable, "connect");
  listen_unix(tree.path("dead"), SOCK_STREAM).reset();
  EXPECT_THROW_ERROR(connect_unix(tree.path("dead"), SOCK_STREAM), ErrorKind::unavailable, "connect");
}

TEST(Memfd, ASealedOneCannotBeChanged) {
  const UniqueFd fd = make_memfd("test", "content");
  EXPECT_EQ(read_all(fd.get(), 100, "memfd"), "content");
  EXPECT_EQ(::write(fd.get(), "x", 1), -1);
  EXPECT_EQ(::ftruncate(fd.get(), 0), -1);
}

TEST(RandomId, ItsShortFormIsNeverANumber) {
  for (int i = 0; i < 2000; ++i) {
    const std::string id = make_random_id();
    ASSERT_EQ(id.size(), 64U);
    ASSERT_NE(id.substr(0, 12).find_first_not_of("0123456789"), std::string::npos);
  }
}

TEST(Pidfd, SignallingAnEndedProcessIsFalse) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  const UniqueFd pidfd = open_pidfd(child);
  EXPECT_TRUE(wait_readable(pidfd.get(), 10000));
  ::waitpid(child, nullptr, 0);
  EXPECT_FALSE(signal_pidfd(pidfd.get(), SIGKILL));
}

}  // namespace
}  // namespace mydocker
