#pragma once

#include <string>

namespace mydocker::runtime {

/// What the kernel needs beside `program` to execute it: the interpreter of its first line ("#!/bin/sh"), or the
/// dynamic loader that its ELF header names (PT_INTERP). "": none, or unreadable. Bounded reads; for a program of the
/// image, so nothing in it is believed. Any thread.
std::string find_interpreter(const std::string& program);

}  // namespace mydocker::runtime
