#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace mydocker::engine {

/// Another OCI runtime that containers may ask for by its name.
struct OciRuntime {
  std::string path;                    ///< absolute, or a name that is looked up in the usual directories
  std::vector<std::string> arguments;  ///< before the verb

  bool operator==(const OciRuntime&) const = default;
};

/// What the engine is told at its start; made by api/daemon from defaults, daemon.json and flags. Immutable but for
/// what Engine::reload takes over: the fields marked (reload), which are read on the I/O thread only.
struct Options {
  std::string data_root = "/var/lib/mydocker";
  std::string exec_root = "/run/mydocker";
  std::string programs_dir;   ///< directory of mydocker-shim, mydocker-worker, mydocker-init: where mydockerd lies
  std::string bundled_image;  ///< path of busybox-bundled.tar, or "" when there is none
  std::string cgroup_parent = "/mydocker";  ///< a path, or with the systemd driver the name of a slice
  std::string cgroup_driver = "cgroupfs";   ///< or "systemd": containers are transient scopes

  std::string log_driver = "json-file";
  std::map<std::string, std::string> log_options;  ///< Docker's log-opts; defaults max-size=20m max-file=5

  std::string bridge = "mydocker0";
  std::string bridge_ip;                           ///< --bip, "172.17.0.1/16"; "" = first free of the pools
  std::vector<std::string> default_address_pools;  ///< "base=172.17.0.0/16,size=16"; empty = Docker's
  int mtu = 1500;
  bool icc = true;
  bool ip_masquerade = true;
  std::string default_host_ip = "0.0.0.0";  ///< --ip
  std::vector<std::string> dns;
  std::vector<std::string> dns_options;
  std::vector<std::string> dns_search;

  std::vector<std::string> registry_mirrors;     ///< (reload)
  std::vector<std::string> insecure_registries;  ///< (reload)
  int max_concurrent_downloads = 3;              ///< (reload)
  int max_concurrent_uploads = 5;                ///< (reload) for push
  int max_download_attempts = 5;                 ///< (reload)
  std::string http_proxy;  ///< for pulls; daemon.json "proxies", else the environment of mydockerd
  std::string https_proxy;
  std::string no_proxy;

  std::map<std::string, OciRuntime> runtimes;  ///< (reload) --add-runtime and daemon.json "runtimes"; never "mydocker"
  std::string default_runtime = "mydocker";    ///< (reload) "mydocker" or a key of `runtimes`
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> default_ulimits;  ///< name -> soft, hard; -1 = unlimited
  std::string seccomp_profile;  ///< path, "unconfined", or "" = built in
  bool no_new_privileges = false;
  bool init = false;                               ///< --init for every container
  std::int64_t default_shm_size_bytes = 67108864;  ///< (reload)
  int shutdown_timeout_seconds = 15;               ///< (reload)
  std::vector<std::string> labels;                 ///< (reload) engine labels, "k=v"
  std::map<std::string, bool> features;            ///< (reload) shown and kept; none changes this engine
  bool debug = false;                              ///< (reload)
};

}  // namespace mydocker::engine
