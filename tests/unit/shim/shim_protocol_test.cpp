#include "runtime/shim_protocol.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <random>

#include "engine/base/sys.h"
#include "runtime/shim_client.h"
#include "tests/support/requirements.h"
#include "tests/support/temp_tree.h"

namespace mydocker::runtime {
namespace {

struct Pair {
  UniqueFd a;
  UniqueFd b;
  Pair() { std::tie(a, b) = make_socket_pair(SOCK_SEQPACKET); }
};

TEST(ShimProtocol, AMessageCarriesDescriptors) {
  const Pair pair;
  const UniqueFd memory = make_memfd("x", "content");
  const int fds[] = {memory.get()};
  ASSERT_TRUE(send_shim_message(pair.a.get(), {{"id", 7}}, fds));
  ShimMessage message;
  ASSERT_EQ(receive_shim_message(pair.b.get(), message), Received::message);
  EXPECT_EQ(message.body.at("id").as_int64(), 7);
  ASSERT_EQ(message.fds.size(), 1U);
  EXPECT_EQ(read_all(message.fds[0].get(), 100, "x"), "content");
  EXPECT_EQ(receive_shim_message(pair.b.get(), message), Received::would_block);
}

TEST(ShimProtocol, ALongMessageGoesThroughSealedMemory) {
  const Pair pair;
  const UniqueFd extra = make_memfd("x", "content");
  const int fds[] = {extra.get()};
  const std::string text(300000, 'x');
  ASSERT_TRUE(send_shim_message(pair.a.get(), {{"text", text}}, fds));
  ShimMessage message;
  ASSERT_EQ(receive_shim_message(pair.b.get(), message), Received::message);
  EXPECT_EQ(message.body.at("text").as_string(), text);
  ASSERT_EQ(message.fds.size(), 1U);
}

TEST(ShimProtocol, UnsealedMemoryIsRefused) {
  const Pair pair;
  const UniqueFd memory = make_memfd("x", R"({"id":1})", false);
  const int fds[] = {memory.get()};
  send_packet(pair.a.get(), R"({"memfd":true})", fds);
  ShimMessage message;
  EXPECT_THROW_ERROR(receive_shim_message(pair.b.get(), message), ErrorKind::invalid_argument, "sealed");
}

TEST(ShimProtocol, MalformedPacketsAreRefusedAndTheConnectionGoesOn) {
  const Pair pair;
  std::mt19937 random(42);
  const std::string good = R"({"id":1,"method":"attach","params":{"streams":{"detach_keys":"1011"}}})";
  for (int round = 0; round < 2000; ++round) {
    std::string packet = good;
    if (round % 3 == 0) packet.resize(random() % packet.size() + 1);
    for (unsigned change = random() % 6; change > 0; --change)
      packet[random() % packet.size()] = static_cast<char>(random());
    send_packet(pair.a.get(), packet);
    ShimMessage message;
    try {
      ASSERT_EQ(receive_shim_message(pair.b.get(), message), Received::message);
      if (const auto* params = message.body.if_contains("params")) from_json<ExecRequest>(*params);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::invalid_argument) << packet;
    }
  }
  for (const char* packet : {"[]", "null", "1", "{\"memfd\":true}", "{}{}", "\xFF"}) {
    send_packet(pair.a.get(), packet);
    ShimMessage message;
    EXPECT_THROW_ERROR(receive_shim_message(pair.b.get(), message), ErrorKind::invalid_argument, "");
  }
  send_packet(pair.a.get(), std::string(100000, ' '));
  ShimMessage message;
  EXPECT_THROW_ERROR(receive_shim_message(pair.b.get(), message), ErrorKind::invalid_argument, "too large");
  ASSERT_TRUE(send_shim_message(pair.a.get(), {{"id", 1}}));
  EXPECT_EQ(receive_shim_message(pair.b.get(), message), Received::message);
}

TEST(ShimProtocol, AClosedPeerIsSeenByBothDirections) {
  Pair pair;
  pair.b.reset();
  ShimMessage message;
  EXPECT_EQ(receive_shim_message(pair.a.get(), message), Received::closed);
  EXPECT_THROW_ERROR((void)send_shim_message(pair.a.get(), {{"id", 1}}), ErrorKind::unavailable, "shim connection");
}

TEST(ShimProtocol, BytesOfStreamsSurviveTheWire) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  const StreamChoice choice{.stdin_ = true, .framed = false, .detach_keys = "\x10\x11", .pending_input = bytes};
  const auto back = from_json<StreamChoice>(parse_json(write_json(to_json(choice))));
  EXPECT_EQ(back.pending_input, bytes);
  EXPECT_EQ(back.detach_keys, "\x10\x11");
  EXPECT_TRUE(back.stdin_);
  EXPECT_FALSE(back.framed);
}

TEST(ShimProtocol, EveryMemberOfTheConfigurationCrosses) {
  ShimConfig config;
  config.id = "id";
  config.rootfs = OverlayMount{.lower = {"/l"}, .upper = "/u", .work = "/w", .read_only = true, .skip_sync = true};
  config.user = "user";
  config.group_add = {"group"};
  config.default_seccomp = true;  // lost once: every container ran without its filter
  config.requested_rlimits = {"RLIMIT_CORE"};
  config.resolve_home = false;
  config.open_stdin = config.stdin_once = config.tty = true;
  config.console_height = 1;
  config.console_width = 2;
  config.log = {.driver = "none",
                .path = "/p",
                .max_size_bytes = 3,
                .max_files = 4,
                .compress = true,
                .attributes = {{"a", "b"}}};
  config.exit_file = "/e";
  config.shims_cgroup = "/s";
  const std::string text = write_json(to_json(config));
  const auto back = from_json<ShimConfig>(parse_json(text));
  EXPECT_EQ(write_json(to_json(back)), text);
  EXPECT_TRUE(back.default_seccomp);
  EXPECT_EQ(back.requested_rlimits, config.requested_rlimits);
  EXPECT_TRUE(back.rootfs && back.rootfs->skip_sync && back.rootfs->read_only);
  EXPECT_FALSE(back.resolve_home);
  EXPECT_TRUE(back.open_stdin && back.stdin_once && back.tty);
  EXPECT_EQ(back.console_width, 2);
  EXPECT_EQ(back.log.attributes.at("a"), "b");
  EXPECT_EQ(back.log.max_files, 4);
  EXPECT_EQ(back.exit_file + back.shims_cgroup + back.user + back.id, "/e/suserid");
}

TEST(ShimProtocol, ErrorsKeepKindTextAndExitCode) {
  try {
    throw_error_object(json::value(make_error_object(LaunchError(ErrorKind::invalid_argument, "exec: \"x\"", 127, 2))));
  } catch (const LaunchError& error) {
    EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
    EXPECT_EQ(error.message(), "exec: \"x\"");
    EXPECT_EQ(error.exit_code(), 127);
    EXPECT_EQ(error.errno_value(), 2);
  }
  try {
    throw_error_object(json::value(make_error_object(Error(ErrorKind::conflict, "busy"))));
  } catch (const LaunchError&) {
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::conflict);
  }
}

TEST(ShimProtocol, UnknownEventsAreSkipped) {
  const Pair pair;
  send_packet(pair.a.get(), "garbage");
  send_packet(pair.a.get(), R"({"something":"new"})");
  send_packet(pair.a.get(), R"({"event":"exec_exit","exec_id":"e1","exit_code":3,"sequence":9})");
  ShimEvent event;
  ASSERT_EQ(receive_shim_event(pair.b.get(), event), EventRead::event);
  EXPECT_EQ(event.type, "exec_exit");
  EXPECT_EQ(event.exit_code, 3);
  EXPECT_EQ(event.sequence, 9U);
  EXPECT_EQ(receive_shim_event(pair.b.get(), event), EventRead::would_block);
}

TEST(ShimClient, AShimThatIsNotThereIsUnavailable) {
  const test::TempTree tree;
  EXPECT_THROW_ERROR(ShimClient::connect(tree.path()), ErrorKind::unavailable, "connect");
}

TEST(ExitRecord, AMissingFileIsNoRecord) {
  const test::TempTree tree{{"exit", R"({"exit_code":137,"signal":9,"oom_killed":true,"finished_at_ns":5})"}};
  EXPECT_FALSE(find_exit_record(tree.path("none")));
  const auto record = find_exit_record(tree.path("exit"));
  ASSERT_TRUE(record);
  EXPECT_EQ(record->exit_code, 137);
  EXPECT_TRUE(record->oom_killed);
}

}  // namespace
}  // namespace mydocker::runtime
