// Hijacked attach connections: terminals, multiplexed streams, half-close, detach keys.

#include <sys/socket.h>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class AttachTest : public DaemonTest {
 protected:
  HttpStream attach(const std::string& id, const std::string& query = "stream=1&stdin=1&stdout=1&stderr=1") {
    return client().hijack("/containers/" + id + "/attach?" + query);
  }
  static json::object interactive() { return {{"OpenStdin", true}, {"StdinOnce", true}, {"AttachStdin", true}}; }
};

TEST_F(AttachTest, TheHandshakeIsImmediateAndExact) {
  const std::string id = create();
  HttpStream stream = attach(id);  // returns with the head, although the container has not been started
  EXPECT_EQ(stream.head().status, 101);
  EXPECT_EQ(stream.head().reason, "UPGRADED");
  EXPECT_EQ(stream.head().header("content-type"), "application/vnd.docker.multiplexed-stream");
  EXPECT_EQ(stream.head().header("upgrade"), "tcp");
  EXPECT_FALSE(stream.head().headers.contains("content-length"));
}

TEST_F(AttachTest, WithoutUpgradeItIs200AndRaw) {
  const std::string id = create({.command = {"/payload", "echo", "hello"}});
  HttpStream stream = client().open("POST", "/containers/" + id + "/attach?stream=1&stdout=1&stderr=1");
  EXPECT_EQ(stream.head().status, 200);
  EXPECT_EQ(stream.head().header("content-type"), "application/vnd.docker.raw-stream");
  start(id);
  EXPECT_EQ(demultiplex(stream.read_to_end()).out, "hello\n");
}

TEST_F(AttachTest, AttachBeforeStartLosesNothing) {
  const std::string id = create({.command = {"seq", "1", "100000"}});
  HttpStream stream = attach(id, "stream=1&stdout=1&stderr=1");
  start(id);
  const Demultiplexed all = demultiplex(stream.read_to_end());
  std::string expected;
  for (int i = 1; i <= 100000; ++i) expected += concat(i, "\n");
  EXPECT_EQ(all.out.size(), expected.size());
  EXPECT_TRUE(all.out == expected);
}

TEST_F(AttachTest, StdoutAndStderrStayApart) {
  const std::string id = create({.command = {"/payload", "both", "100"}});
  HttpStream stream = attach(id);
  start(id);
  const Demultiplexed all = demultiplex(stream.read_to_end());
  EXPECT_TRUE(all.out.starts_with("out 1\nout 2\n") && all.out.ends_with("out 100\n"));
  EXPECT_TRUE(all.err.starts_with("err 1\nerr 2\n") && all.err.ends_with("err 100\n"));
}

TEST_F(AttachTest, StdinHalfCloseEndsTheInputAndKeepsTheOutput) {
  const std::string id = create({.command = {"/payload", "cat"}, .extra = interactive()});
  HttpStream stream = attach(id);
  start(id);
  stream.write("line one\nline two");
  stream.shutdown_write();
  const Demultiplexed all = demultiplex(stream.read_to_end());
  EXPECT_EQ(all.out, "line one\nline two");
  EXPECT_EQ(all.err, "end\n");
  EXPECT_EQ(wait(id), 0);
}

TEST_F(AttachTest, ALargeInputGoesThroughUnchanged) {
  const std::string id = create({.command = {"/payload", "cat"}, .extra = interactive()});
  HttpStream stream = attach(id);
  start(id);
  std::string big;
  for (int i = 0; i < 20000; ++i) big += concat("line ", i, "\n");
  // More than the socket and the pipe hold together: both directions have to move at once.
  std::string frames;
  for (std::size_t i = 0; i < big.size(); i += 16384) {
    stream.write(std::string_view(big).substr(i, 16384));
    frames += stream.read_some();
  }
  stream.shutdown_write();
  frames += stream.read_to_end();
  EXPECT_TRUE(demultiplex(frames).out == big);
}

TEST_F(AttachTest, AClientsHalfCloseWithoutStdinIsNoDisconnect) {
  const std::string id = create({.command = {"sh", "-c", "sleep 0.3; echo late"}});
  HttpStream stream = attach(id, "stream=1&stdout=1&stderr=1");
  stream.shutdown_write();
  start(id);
  EXPECT_EQ(demultiplex(stream.read_to_end()).out, "late\n");
}

TEST_F(AttachTest, BytesSentWithTheRequestAreInput) {
  const std::string id = create({.command = {"/payload", "cat"}, .extra = interactive()});
  const std::string request = concat("POST /containers/", id,
                                     "/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\n"
                                     "Connection: Upgrade\r\nContent-Length: 0\r\n\r\nearly bytes\n");
  HttpStream stream(connect_unix(engine().socket(), SOCK_STREAM), request, std::chrono::seconds(10));
  start(id);
  stream.shutdown_write();
  EXPECT_EQ(demultiplex(stream.read_to_end()).out, "early bytes\n");
}

TEST_F(AttachTest, ATerminalIsRawAndOneStream) {
  json::object extra = interactive();
  extra["Tty"] = true;
  const std::string id = create({.command = {"/payload", "isatty"}, .extra = extra});
  HttpStream stream = attach(id);
  EXPECT_EQ(stream.head().header("content-type"), "application/vnd.docker.raw-stream");
  start(id);
  EXPECT_EQ(stream.read_to_end(), "1 1 1\r\n");
}

TEST_F(AttachTest, TheTerminalTurnsControlCIntoASignal) {
  json::object extra = interactive();
  extra["Tty"] = true;
  const std::string id = create({.command = {"/payload", "trap"}, .extra = extra});
  HttpStream stream = attach(id);
  start(id);
  stream.read_until("ready");
  stream.write("\x03");
  EXPECT_NO_THROW(stream.read_until("signal 2"));
}

TEST_F(AttachTest, DetachKeysEndTheSessionAndNotTheContainer) {
  json::object extra = interactive();
  extra["Tty"] = true;
  const std::string id = create({.command = {"sh"}, .extra = extra});
  HttpStream stream = attach(id);
  start(id);
  stream.write("\x10\x11");
  stream.read_to_end();
  EXPECT_EQ(text(at(inspect(id), "State.Status")), "running");
  const Response bad = client().post("/containers/" + id + "/attach?stream=1&detachKeys=zzz");
  EXPECT_EQ(bad.status, 400);
}

TEST_F(AttachTest, SeveralClientsGetAllOutput) {
  const std::string id = create({.command = {"seq", "1", "2000"}});
  HttpStream first = attach(id, "stream=1&stdout=1");
  HttpStream second = attach(id, "stream=1&stdout=1");
  start(id);
  const std::string out = demultiplex(first.read_to_end()).out;
  EXPECT_TRUE(out.starts_with("1\n2\n") && out.ends_with("\n2000\n"));
  EXPECT_EQ(demultiplex(second.read_to_end()).out, out);
}

TEST_F(AttachTest, AClientThatDoesNotReadBlocksNobody) {
  const std::string id = create({.command = {"/payload", "spew", "30000000"}});
  HttpStream stuck = attach(id, "stream=1&stdout=1");
  start(id);
  EXPECT_EQ(wait(id), 0);  // the container ends although its reader never read
}

TEST_F(AttachTest, AttachWithLogsReplaysFirst) {
  const std::string id = run({.command = {"sh", "-c", "echo early; echo ready; /payload pause"}});
  wait_ready(id);
  HttpStream stream = attach(id, "stream=1&logs=1&stdout=1");
  EXPECT_NO_THROW(stream.read_until("early"));
}

TEST_F(AttachTest, CustomDetachKeysAreTakenAndPartsOfThemArriveAsInput) {
  json::object extra = interactive();
  extra["Tty"] = true;
  const std::string id = create({.command = {"sh", "-c", "stty raw -echo; echo ready; cat"}, .extra = extra});
  HttpStream events = client().open("GET", "/events?filters=" + url_encode(R"({"event":["detach"]})"));
  HttpStream stream = attach(id, "stream=1&stdin=1&stdout=1&detachKeys=" + url_encode("ctrl-a,x,DEL"));
  start(id);
  stream.read_until("ready");
  stream.write("\x01");
  stream.write("xy");  // two of the three keys, then another
  EXPECT_NO_THROW(stream.read_until("\x01xy"));
  stream.write("\x10\x11");  // the default is no longer one
  EXPECT_NO_THROW(stream.read_until("\x10\x11"));
  stream.write("\x01");
  stream.write("x\x7f");
  EXPECT_EQ(stream.read_to_end(), "");
  EXPECT_EQ(text(at(parse_json(events.read_line().value_or("{}")), "Actor.ID")), id);
  EXPECT_EQ(text(at(inspect(id), "State.Status")), "running");
}

TEST_F(AttachTest, InvalidDetachKeysAreRefused) {
  const std::string id = create();
  for (const char* keys : {"ctrl-", "ctrl-1", "ab", "ctrl-a,", "ctrl-aa"}) {
    const Response response = client().post("/containers/" + id + "/attach?stream=1&detachKeys=" + url_encode(keys));
    EXPECT_EQ(response.status, 400) << keys;
    EXPECT_NE(response.body.find(concat("Invalid detach keys (", keys, ") provided")), std::string::npos)
        << response.body;
  }
}

TEST_F(AttachTest, WithoutStdinOnceAHalfCloseEndsTheSessionAlone) {
  const std::string id = create({.command = {"/payload", "cat"}, .extra = {{"OpenStdin", true}}});
  HttpStream first = attach(id);
  start(id);
  first.write("one\n");
  first.read_until("one\n");
  first.shutdown_write();
  EXPECT_EQ(first.read_to_end(), "");
  EXPECT_EQ(text(at(inspect(id), "State.Status")), "running");
  HttpStream second = attach(id);
  second.write("two\n");
  EXPECT_NO_THROW(second.read_until("two\n"));
}

TEST_F(AttachTest, LogsAloneAreReplayedAndTheStreamEnds) {
  const std::string id = run({.command = {"sh", "-c", "echo a; echo b >&2; /payload pause"}});
  wait_ready(id);
  HttpStream stream = attach(id, "logs=1&stdout=1&stderr=1");
  const Demultiplexed all = demultiplex(stream.read_to_end());
  EXPECT_EQ(all.out, "a\nready\n");
  EXPECT_EQ(all.err, "b\n");
  EXPECT_EQ(attach(id, "stdout=1").read_to_end(), "");
}

TEST_F(AttachTest, APausedContainerRefuses) {
  const std::string id = run();
  ASSERT_EQ(client().post("/containers/" + id + "/pause").status, 204);
  const Response response = client().post("/containers/" + id + "/attach?stream=1&stdout=1");
  EXPECT_EQ(response.status, 409);
  EXPECT_NE(response.body.find("is paused, unpause the container before attach"), std::string::npos) << response.body;
}

// --- websocket -------------------------------------------------------------------------------------------------------

class WebsocketTest : public AttachTest {
 protected:
  HttpStream open(const std::string& path) {
    return client().open("GET", path, {},
                         {{"Connection", "keep-alive, Upgrade"},
                          {"Upgrade", "websocket"},
                          {"Sec-WebSocket-Version", "13"},
                          {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}});
  }
  /// A client's frame: masked, as RFC 6455 wants it.
  static std::string frame(int opcode, std::string_view payload) {
    std::string out{static_cast<char>(0x80 | opcode), static_cast<char>(0x80 | payload.size()), 1, 2, 3, 4};
    for (std::size_t i = 0; i < payload.size(); ++i)
      out += static_cast<char>(payload[i] ^ static_cast<char>(1 + i % 4));
    return out;
  }
  /// All payloads of data frames until the server's close frame; `opcodes` collects every frame's kind.
  static std::string read_to_close(HttpStream& stream, std::string& opcodes) {
    const std::string bytes = stream.read_to_end();
    std::string data;
    for (std::size_t at = 0; at + 2 <= bytes.size();) {
      const int opcode = bytes[at] & 0x0F;
      std::size_t size = static_cast<unsigned char>(bytes[at + 1]);
      std::size_t head = 2;
      if (size == 126) {
        size = static_cast<std::size_t>(static_cast<unsigned char>(bytes[at + 2])) << 8 |
               static_cast<unsigned char>(bytes[at + 3]);
        head = 4;
      }
      opcodes += std::to_string(opcode) + " ";
      if (opcode < 8) data += bytes.substr(at + head, size);
      at += head + size;
    }
    return data;
  }
};

TEST_F(WebsocketTest, InputGoesInAndBothStreamsComeOutUnframed) {
  const std::string id = create({.command = {"/bin/busybox", "sh", "-c", "read x; echo out-$x; echo err-$x >&2"},
                                 .extra = {{"OpenStdin", true}, {"StdinOnce", true}}});
  HttpStream stream = open("/containers/" + id + "/attach/ws?stream=1&stdin=1&stdout=1&stderr=1");
  ASSERT_EQ(stream.head().status, 101);
  EXPECT_EQ(stream.head().reason, "Switching Protocols");
  EXPECT_EQ(stream.head().header("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") << "RFC 6455, 1.3";
  start(id);
  stream.write(frame(9, "hello"));
  stream.write(frame(2, "wo") + frame(2, "rd\n"));
  std::string opcodes;
  const std::string data = read_to_close(stream, opcodes);
  EXPECT_NE(data.find("out-word\n"), std::string::npos) << data;
  EXPECT_NE(data.find("err-word\n"), std::string::npos) << data;
  EXPECT_EQ(data.find('\0'), std::string::npos) << "no frames of the multiplexed form";
  EXPECT_NE(opcodes.find("10 "), std::string::npos) << "the ping is answered: " << opcodes;
  EXPECT_TRUE(opcodes.ends_with("8 ")) << "the server says goodbye: " << opcodes;
  EXPECT_NE(opcodes.find("2 "), std::string::npos) << opcodes;
  EXPECT_EQ(wait(id), 0);
}

TEST_F(WebsocketTest, OldClientsGetTextAndAllStreams) {
  const std::string id = create({.command = {"/bin/busybox", "echo", "old"}});
  HttpStream stream = open("/v1.27/containers/" + id + "/attach/ws?stream=1");
  ASSERT_EQ(stream.head().status, 101);
  start(id);
  std::string opcodes;
  EXPECT_EQ(read_to_close(stream, opcodes), "old\n");
  EXPECT_TRUE(opcodes.starts_with("1 ")) << opcodes;
}

TEST_F(WebsocketTest, ACloseOfTheClientIsAnsweredAndTheContainerRunsOn) {
  const std::string id = run();
  HttpStream stream = open("/containers/" + id + "/attach/ws?stream=1&stdout=1&logs=1");
  ASSERT_EQ(stream.head().status, 101);
  stream.write(frame(8, std::string("\x03\xe8", 2)));
  std::string opcodes;
  read_to_close(stream, opcodes);
  EXPECT_TRUE(opcodes.ends_with("8 ")) << opcodes;
  EXPECT_EQ(text(at(inspect(id), "State.Status")), "running");
}

TEST_F(WebsocketTest, WhatIsNoWebsocketIsRefused) {
  const std::string id = run();
  EXPECT_EQ(client().get("/containers/" + id + "/attach/ws?stream=1").status, 400);
  const Response missing = client().request("GET", "/containers/nobody/attach/ws", {},
                                            {{"Connection", "Upgrade"},
                                             {"Upgrade", "websocket"},
                                             {"Sec-WebSocket-Version", "13"},
                                             {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}});
  EXPECT_EQ(missing.status, 404);
  // An unmasked frame breaks the protocol: the session ends, nothing else does.
  HttpStream stream = open("/containers/" + id + "/attach/ws?stream=1&stdin=1");
  stream.write(std::string("\x82\x01x", 3));
  std::string opcodes;
  read_to_close(stream, opcodes);
  EXPECT_EQ(opcodes, "8 ");
  EXPECT_FALSE(engine().has_died());
}

}  // namespace
}  // namespace mydocker::test
