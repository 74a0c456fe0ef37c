#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/base/database.h"
#include "engine/base/process.h"
#include "engine/base/unique_fd.h"
#include "network/link.h"
#include "network/networks.h"
#include "tests/support/requirements.h"
#include "tests/support/temp_tree.h"

namespace mydocker::network::test {

/// A network namespace that lives as long as the object. `lo` is down in it, as in a new container.
class Netns {
 public:
  Netns();
  int fd() const { return fd_.get(); }
  /// Runs `work` in a thread inside; waits; throws what it throws.
  template <typename Work>
  auto run(Work&& work) const;

 private:
  UniqueFd fd_;
};

void run_in(int netns_fd, const std::function<void()>& work);

template <typename Work>
auto Netns::run(Work&& work) const {
  if constexpr (std::is_void_v<decltype(work())>) {
    run_in(fd(), work);
  } else {
    std::optional<decltype(work())> result;
    run_in(fd(), [&] { result.emplace(work()); });
    return std::move(*result);
  }
}

/// Answers on a port of the namespace of its constructor's thread: "<name> <peer address>" to everyone.
class Service {
 public:
  /// `protocol` is "tcp" or "udp". `name` stands in every answer.
  Service(const Netns& netns, std::string protocol, std::uint16_t port, std::string name);
  /// In the namespace of the calling thread.
  Service(std::string protocol, std::string address, std::uint16_t port, std::string name);
  ~Service();

 private:
  void open(const std::string& address, std::uint16_t port);
  void serve();
  std::string protocol_, name_;
  UniqueFd socket_, stop_;
  std::thread thread_;
};

/// What a service answers, asked from the namespace of the calling thread; "" = no answer (refused, or nothing for
/// `timeout_ms`).
std::string ask(const std::string& protocol, const std::string& address, std::uint16_t port, int timeout_ms = 1000);
std::string ask_from(const Netns& netns, const std::string& protocol, const std::string& address, std::uint16_t port,
                     int timeout_ms = 1000);
/// One ICMP echo and its reply.
bool ping(const std::string& address, int timeout_ms = 1000);
bool ping_from(const Netns& netns, const std::string& address, int timeout_ms = 1000);

/// A cable between two namespaces (-1 = that of the calling thread), both ends up and addressed ("10.0.0.1/24").
void connect_namespaces(int first, const std::string& first_name, const std::string& first_address, int second,
                        const std::string& second_name, const std::string& second_address);
/// "10.0.0.0/24" (or "0.0.0.0/0") over a gateway, in the namespace of the calling thread.
void add_route(const std::string& destination, const std::string& gateway);
void write_sysctl(const std::string& name, const std::string& value);

/// Runs nft(8) text in the namespace of the calling thread, as a foreign program would. Its output.
std::string nft(const std::string& text);

/// The same from a process of its own.
bool nft_by_another_program(const std::string& text);

/// Runs a case of this program (named DISABLED_, so that it does not run otherwise) as a process of its own, with these
/// variables and descriptors.
ExitStatus run_helper(const std::string& test_case, std::vector<std::string> environment,
                      std::vector<std::pair<int, int>> fds = {});

/// Every case gets an empty network namespace as its "host", lo up, and a database.
class NetworkTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  /// A new engine over the same database: what a restart is.
  void restart(Options options = {});
  Networks& networks() { return *networks_; }
  AttachRequest request(const std::string& container, const Netns& netns, std::vector<PortRequest> ports = {});
  /// Links, addresses, rules and rows, as text: for before-and-after comparisons.
  std::string snapshot();
  std::string bridge_id() { return networks().get("bridge").id; }

  std::optional<mydocker::test::TempTree> tree_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<Networks> networks_;
};

/// 64 hex digits from a short name.
std::string make_container_id(const std::string& name);

}  // namespace mydocker::network::test
