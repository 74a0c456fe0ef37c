#pragma once

#include <chrono>
#include <cstdlib>
#include <string_view>

namespace mydocker::test {

/// A limit in time as it is on this machine: twenty times as long in the emulated guest (contrib/vm/run-in-vm).
inline std::chrono::milliseconds patient(std::chrono::milliseconds limit) {
  const char* guest = std::getenv("IN_VM");
  return guest != nullptr && std::string_view(guest) == "1" ? limit * 20 : limit;
}

/// How often a case repeats what has to hold each time: a twentieth as often in the guest.
inline int patient_rounds(int rounds) {
  return rounds / static_cast<int>(patient(std::chrono::milliseconds(1)).count());
}

}  // namespace mydocker::test
