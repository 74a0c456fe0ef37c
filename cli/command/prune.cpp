#include "cli/command/prune.h"

#include <unistd.h>

#include "cli/options/words.h"
#include "cli/terminal.h"

namespace mydocker::cli {

bool confirm(const Arguments& arguments, std::string_view warning) {
  if (arguments.enabled("force")) return true;
  print(concat("WARNING! ", warning, "\nAre you sure you want to continue? [y/N] "));
  flush_output();
  std::string answer;
  char c = 0;
  while (::read(STDIN_FILENO, &c, 1) == 1 && c != '\n') answer += c;
  return to_lower(trim(answer)) == "y";
}

}  // namespace mydocker::cli
