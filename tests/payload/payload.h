#pragma once

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

/// What the parts of the payload program share: payload.cpp behaves as programs do, kernel.cpp shows what the kernel
/// gives, attacks.cpp tries what must not work.
/// The program is single-threaded; a verb may block as long as it likes.
namespace payload {

struct Verb {
  const char* name;
  int (*run)(char**);  ///< its arguments, null at the end; gives the exit code
};

std::span<const Verb> kernel_verbs();
std::span<const Verb> attack_verbs();

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "%s: %s\n", what, std::strerror(errno));
  std::exit(111);
}

inline long number(char** arguments, int index, long otherwise) {
  for (int i = 0; i <= index; ++i) {
    if (arguments[i] == nullptr) return otherwise;
  }
  return std::strtol(arguments[index], nullptr, 10);
}

inline const char* word(char** arguments, int index) {
  for (int i = 0; i <= index; ++i) {
    if (arguments[i] == nullptr) {
      std::fprintf(stderr, "an argument is missing\n");
      std::exit(111);
    }
  }
  return arguments[index];
}

}  // namespace payload
