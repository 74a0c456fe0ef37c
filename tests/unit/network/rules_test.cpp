#include "network/rules.h"

#include <linux/netfilter.h>

#include "network/rule_elements.h"
#include "tests/unit/network/lab.h"

namespace mydocker::network::test {
namespace {

PortRule make_port(const std::string& host_ip) {
  return {"udp", Ipv4Address::parse(host_ip), 5353, Ipv4Address::parse("172.17.0.2"), 53};
}

TEST(Rules, NamesNeverBecomeSyntax) {
  RuleSet rules;
  rules.bridges.push_back({"br\"; flush", Ipv4Network::parse("10.0.0.1/24")});
  EXPECT_THROW_ERROR(make_inet_text(rules), ErrorKind::invalid_argument, "invalid interface name");
  rules.bridges[0].bridge = "br\"";
  EXPECT_THROW_ERROR(make_inet_text(rules), ErrorKind::invalid_argument, "invalid interface name");
  rules.endpoints.push_back({"veth\"", {}, {}});
  EXPECT_THROW_ERROR(make_bridge_text(rules), ErrorKind::invalid_argument, "invalid interface name");
}

TEST(Rules, ElementsArePaddedToFourBytes) {
  using Bytes = std::vector<std::uint8_t>;
  const std::vector<SetElement> elements =
      make_elements({"veth1", Ipv4Address::parse("172.17.0.2"), {make_port("0.0.0.0"), make_port("127.0.0.1")}});
  ASSERT_EQ(elements.size(), 5U);
  EXPECT_EQ(elements[0].key, (Bytes{172, 17, 0, 2}));
  EXPECT_EQ(elements[1].key, (Bytes{'v', 'e', 't', 'h', '1', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 172, 17, 0, 2}));
  EXPECT_EQ(elements[3].key, (Bytes{17, 0, 0, 0, 0x14, 0xe9, 0, 0}));
  EXPECT_EQ(elements[4].key, (Bytes{127, 0, 0, 1, 17, 0, 0, 0, 0x14, 0xe9, 0, 0}));
  EXPECT_EQ(elements[4].data, (Bytes{172, 17, 0, 2, 0, 53, 0, 0}));
}

using RulesTest = NetworkTest;

TEST_F(RulesTest, ElementsOneByOneEqualElementsInTheText) {
  RuleSet rules;
  rules.bridges.push_back({"mydocker0", Ipv4Network::parse("172.17.0.1/16")});
  rules.bridges.push_back({"br-1", Ipv4Network::parse("172.18.0.1/16"), true, false, false});
  rules.endpoints.push_back(
      {"veth1", Ipv4Address::parse("172.17.0.2"), {make_port("0.0.0.0"), make_port("127.0.0.1")}});
  rules.endpoints[0].ports.push_back({"sctp", {}, 9999, Ipv4Address::parse("172.17.0.2"), 9998});
  apply_ruleset(rules);
  const std::string at_once = nft("list ruleset");

  NetlinkSocket socket(NETLINK_NETFILTER);
  const std::vector<SetElement> elements = make_elements(rules.endpoints[0]);
  rules.endpoints.clear();
  apply_ruleset(rules);
  const std::string without = nft("list ruleset");
  EXPECT_NE(without, at_once);
  EXPECT_TRUE(add_elements(socket, "mydocker", elements));
  EXPECT_TRUE(add_elements(socket, "mydocker", elements));  // the same again is no conflict
  EXPECT_EQ(nft("list ruleset"), at_once);

  remove_elements(socket, "mydocker", std::span(elements).first(1));
  remove_elements(socket, "mydocker", elements);  // one is gone already
  remove_elements(socket, "mydocker", elements);
  EXPECT_EQ(nft("list ruleset"), without);
}

TEST_F(RulesTest, ATableThatIsNotThereIsToldApart) {
  NetlinkSocket socket(NETLINK_NETFILTER);
  const std::vector<SetElement> elements = make_elements({"veth1", {}, {make_port("0.0.0.0")}});
  EXPECT_FALSE(has_table(socket, "mydocker", NFPROTO_INET));
  EXPECT_FALSE(add_elements(socket, "mydocker", elements));
  remove_elements(socket, "mydocker", elements);
  apply_ruleset({});
  EXPECT_TRUE(has_table(socket, "mydocker", NFPROTO_INET));
  EXPECT_TRUE(has_table(socket, "mydocker", NFPROTO_BRIDGE));
}

TEST_F(RulesTest, ForeignTablesAreLeftAlone) {
  nft("table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }");
  nft("table inet other { set s { type ipv4_addr; elements = { 1.2.3.4 }; }; }");
  const std::string before = nft("list ruleset");
  apply_ruleset({});
  nft("delete table inet mydocker; delete table bridge mydocker");
  EXPECT_EQ(nft("list ruleset"), before);
}

}  // namespace
}  // namespace mydocker::network::test
