#include "api/server/websocket.h"

#include <gtest/gtest.h>

namespace mydocker::api {
namespace {

std::string masked(int first, std::string_view payload) {
  std::string out{static_cast<char>(first), static_cast<char>(0x80 | payload.size()), 'k', 'e', 'y', 's'};
  for (std::size_t i = 0; i < payload.size(); ++i) out += static_cast<char>(payload[i] ^ "keys"[i % 4]);
  return out;
}

TEST(Websocket, TheHandshakeIsTheStandardsExample) {
  EXPECT_EQ(make_websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  EXPECT_FALSE(make_websocket_accept(""));
  EXPECT_FALSE(make_websocket_accept("c2hvcnQ="));
  EXPECT_FALSE(make_websocket_accept("not base64 at all!!"));
}

TEST(Websocket, DataIsHandedOnByteByByte) {
  WebsocketDecoder decoder;
  std::string data;
  std::string kept;  // what the decoder has left so far
  for (const char c : masked(0x82, "hello") + masked(0x81, " world")) {
    kept += c;
    data += decoder.feed(kept).data;
  }
  EXPECT_EQ(data, "hello world");
}

TEST(Websocket, LengthsHaveThreeForms) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{125}, std::size_t{126}, std::size_t{65535}, std::size_t{65536}}) {
    const std::string frame = make_websocket_frame(WebsocketOpcode::binary, std::string(size, 'x'));
    const std::size_t head = size <= 125 ? 2 : size <= 65535 ? 4 : 10;
    EXPECT_EQ(frame.size(), head + size);
  }
  // The same seen from the other side: a client's frame of 126 bytes.
  std::string input("\x82\xfe\x00\x7e\0\0\0\0", 8);
  input += std::string(126, 'y');
  WebsocketDecoder decoder;
  EXPECT_EQ(decoder.feed(input).data, std::string(126, 'y'));
}

TEST(Websocket, AFragmentedMessageMayHoldAPing) {
  WebsocketDecoder decoder;
  std::string input = masked(0x02, "one") + masked(0x89, "ping") + masked(0x80, "two") + masked(0x88, "");
  WebsocketDecoder::Step step = decoder.feed(input);
  EXPECT_EQ(step.data, "one");
  EXPECT_EQ(step.ping, "ping");
  step = decoder.feed(input);
  EXPECT_EQ(step.data, "two");
  EXPECT_TRUE(step.closed);
}

TEST(Websocket, HostileFramesEndTheSession) {
  const std::string cases[] = {
      std::string("\x82\x01x", 3),                                      // not masked
      masked(0xC2, "x"),                                                // a reserved bit
      masked(0x83, "x"),                                                // an unknown opcode
      masked(0x09, "x"),                                                // a fragmented ping
      masked(0x80, "x"),                                                // a continuation of nothing
      masked(0x02, "x") + masked(0x82, "x"),                            // a message inside a message
      std::string("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff____", 14),  // a length of 2^64-1
      std::string("\x89\xfe\x00\x7e____", 8),                           // a long ping
  };
  for (std::string input : cases) {
    WebsocketDecoder decoder;
    WebsocketDecoder::Step step = decoder.feed(input);
    if (step.broken == 0) step = decoder.feed(input);
    EXPECT_EQ(step.broken, 1002);
  }
}

}  // namespace
}  // namespace mydocker::api
