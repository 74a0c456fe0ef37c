#pragma once

#include <string>

/// Where the programs under test are: build/bin beside the tests' own directory, or $MYDOCKER_BIN_DIR.
namespace mydocker::test {

std::string programs_directory();
/// programs_directory()/name.
std::string program(const std::string& name);
std::string payload_program();
/// The build tree that the test was built in.
std::string build_directory();

}  // namespace mydocker::test
