#pragma once

#include "api/types/json.h"

/// Exec sessions on the wire (Engine API v1.51; WIRE 6).
namespace mydocker::api {

/// POST /containers/{id}/exec.
struct ExecCreateRequest {
  std::string user;
  bool privileged = false;
  bool tty = false;
  std::optional<ConsoleSize> console_size;
  bool attach_stdin = false;
  bool attach_stderr = false;
  bool attach_stdout = false;
  std::string detach_keys;
  StringList env;
  std::string working_dir;
  CommandLine cmd;

  static constexpr auto json_fields() {
    using T = ExecCreateRequest;
    return std::tuple(field("User", &T::user), field("Privileged", &T::privileged), field("Tty", &T::tty),
                      field_omit_empty("ConsoleSize", &T::console_size), field("AttachStdin", &T::attach_stdin),
                      field("AttachStderr", &T::attach_stderr), field("AttachStdout", &T::attach_stdout),
                      field("DetachKeys", &T::detach_keys), field("Env", &T::env), field("WorkingDir", &T::working_dir),
                      field("Cmd", &T::cmd));
  }
};

/// POST /exec/{id}/start.
struct ExecStartRequest {
  bool detach = false;
  bool tty = false;
  std::optional<ConsoleSize> console_size;

  static constexpr auto json_fields() {
    return std::tuple(field("Detach", &ExecStartRequest::detach), field("Tty", &ExecStartRequest::tty),
                      field_omit_empty("ConsoleSize", &ExecStartRequest::console_size));
  }
};

struct ExecProcessConfig {
  bool tty = false;
  std::string entrypoint;
  StringList arguments;
  bool privileged = false;
  std::string user;

  static constexpr auto json_fields() {
    using T = ExecProcessConfig;
    return std::tuple(field("tty", &T::tty), field("entrypoint", &T::entrypoint), field("arguments", &T::arguments),
                      field("privileged", &T::privileged), field_omit_empty("user", &T::user));
  }
};

/// GET /exec/{id}/json. `ID` here, `Id` in the answer of create.
struct ExecInspect {
  std::string id;
  bool running = false;
  std::optional<std::int64_t> exit_code;  ///< null until the process has ended
  ExecProcessConfig process_config;
  bool open_stdin = false;
  bool open_stderr = false;
  bool open_stdout = false;
  bool can_remove = false;
  std::string container_id;
  std::string detach_keys;
  std::int64_t pid = 0;

  static constexpr auto json_fields() {
    using T = ExecInspect;
    return std::tuple(field("ID", &T::id), field("Running", &T::running), field("ExitCode", &T::exit_code),
                      field("ProcessConfig", &T::process_config), field("OpenStdin", &T::open_stdin),
                      field("OpenStderr", &T::open_stderr), field("OpenStdout", &T::open_stdout),
                      field("CanRemove", &T::can_remove), field("ContainerID", &T::container_id),
                      field("DetachKeys", &T::detach_keys), field("Pid", &T::pid));
  }
};

}  // namespace mydocker::api
