#include "engine/base/json.h"

#include <gtest/gtest.h>

#include "tests/support/requirements.h"

namespace mydocker {
namespace {

struct Inner {
  std::string name;
  std::int64_t count = 7;
  static constexpr auto json_fields() {
    return std::tuple(field("Name", &Inner::name), field_omit_empty("Count", &Inner::count));
  }
};

struct Outer {
  Inner inner;
  std::vector<Inner> list;
  std::map<std::string, std::string> labels;
  std::optional<bool> flag;
  std::optional<std::vector<std::string>> words;
  double ratio = 0;
  std::uint64_t big = 0;
  std::int32_t small = 0;
  static constexpr auto json_fields() {
    return std::tuple(field("Inner", &Outer::inner), field_omit_empty("List", &Outer::list),
                      field("Labels", &Outer::labels), field("Flag", &Outer::flag), field("Words", &Outer::words),
                      field("Ratio", &Outer::ratio), field("Big", &Outer::big), field("Small", &Outer::small));
  }
};

Outer read(std::string_view text) { return from_json<Outer>(parse_json(text)); }

TEST(JsonFields, AMissingKeyKeepsTheDefault) { EXPECT_EQ(read("{}").inner.count, 7); }

TEST(JsonFields, NullKeepsTheDefault) {
  EXPECT_EQ(read(R"({"Inner":null})").inner.count, 7);
  EXPECT_EQ(read(R"({"Inner":{"Count":null}})").inner.count, 7);
}

TEST(JsonFields, UnknownKeysAreSkipped) { EXPECT_EQ(read(R"({"Nope":[1,{}],"Small":3})").small, 3); }

TEST(JsonFields, KeysMatchWithoutCaseButTheExactOneWins) {
  EXPECT_EQ(read(R"({"sMALL":3})").small, 3);
  EXPECT_EQ(read(R"({"small":3,"Small":4})").small, 4);
}

TEST(JsonFields, TheLastOfTwoEqualKeysWins) { EXPECT_EQ(read(R"({"Small":3,"Small":4})").small, 4); }

TEST(JsonFields, OptionalTellsAbsentFromZero) {
  EXPECT_FALSE(read("{}").flag.has_value());
  EXPECT_FALSE(read(R"({"Flag":null})").flag.has_value());
  EXPECT_EQ(read(R"({"Flag":false})").flag, false);
  EXPECT_TRUE(read(R"({"Words":[]})").words->empty());
}

TEST(JsonFields, AWrongTypeIsNamedWithItsPath) {
  EXPECT_THROW_ERROR(read(R"({"Inner":{"Count":"x"}})"), ErrorKind::invalid_argument,
                     "Inner.Count: expected an integer");
  EXPECT_THROW_ERROR(read(R"({"List":[{},{"Name":5}]})"), ErrorKind::invalid_argument,
                     "List[1].Name: expected a string");
  EXPECT_THROW_ERROR(read(R"({"Labels":{"a":1}})"), ErrorKind::invalid_argument, "Labels.a: expected a string");
  EXPECT_THROW_ERROR(read(R"({"Labels":[]})"), ErrorKind::invalid_argument, "Labels: expected an object");
  EXPECT_THROW_ERROR(read(R"([])"), ErrorKind::invalid_argument, "expected an object");
  EXPECT_THROW_ERROR(read(R"({"Flag":"true"})"), ErrorKind::invalid_argument, "Flag: expected true or false");
}

TEST(JsonFields, NumbersThatDoNotFitAreRefused) {
  EXPECT_THROW_ERROR(read(R"({"Small":2147483648})"), ErrorKind::invalid_argument, "Small");
  EXPECT_THROW_ERROR(read(R"({"Small":1.5})"), ErrorKind::invalid_argument, "Small");
  EXPECT_THROW_ERROR(read(R"({"Big":-1})"), ErrorKind::invalid_argument, "Big");
  EXPECT_THROW_ERROR(read(R"({"Inner":{"Count":9223372036854775808}})"), ErrorKind::invalid_argument, "Count");
  EXPECT_EQ(read(R"({"Big":18446744073709551615})").big, 18446744073709551615ULL);
  EXPECT_EQ(read(R"({"Small":1e3})").small, 1000);
}

TEST(JsonFields, WritingFollowsTheTable) {
  Outer value;
  value.inner.count = 0;
  EXPECT_EQ(write_json(to_json(value)),
            R"({"Inner":{"Name":""},"Labels":{},"Flag":null,"Words":null,"Ratio":0E0,"Big":0,"Small":0})");
}

TEST(JsonFields, WhatIsWrittenReadsBackEqual) {
  Outer value;
  value.inner = {"n", 3};
  value.list = {{"a", 1}, {"b", 2}};
  value.labels = {{"k", "v\n\"\\"}};
  value.words = {"x", ""};
  value.big = 1ULL << 63;
  const std::string text = write_json(to_json(value));
  EXPECT_EQ(write_json(to_json(read(text))), text);
}

TEST(ParseJson, TrailingBytesAreRefused) {
  EXPECT_THROW_ERROR(parse_json("{} x"), ErrorKind::invalid_argument, "unexpected content after JSON");
  EXPECT_NO_THROW(parse_json(" {} \n"));
}

TEST(ParseJson, BrokenDocumentsAreRefused) {
  for (const char* text : {"", "{", "{\"a\":}", "nul", "[1,]", "\"\\x\"", "{\"a\" 1}", "\x80"}) {
    SCOPED_TRACE(text);
    EXPECT_THROW_ERROR(parse_json(text), ErrorKind::invalid_argument, "invalid JSON");
  }
}

TEST(ParseJson, DeepNestingIsRefusedAndDoesNotCrash) {
  EXPECT_NO_THROW(parse_json(std::string(60, '[') + std::string(60, ']')));
  EXPECT_THROW_ERROR(parse_json(std::string(100000, '[')), ErrorKind::invalid_argument, "invalid JSON");
}

TEST(Utf8, BadBytesBecomeTheReplacementCharacter) {
  EXPECT_EQ(to_valid_utf8("a\xff"
                          "b"),
            "a\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(to_valid_utf8("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x90\xB3"), "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x90\xB3");
  EXPECT_EQ(to_valid_utf8("\xED\xA0\x80").find('\xED'), std::string::npos);  // a surrogate
  EXPECT_EQ(write_json(json::value("x\xfe")), "\"x\xEF\xBF\xBD\"");
}

}  // namespace
}  // namespace mydocker
