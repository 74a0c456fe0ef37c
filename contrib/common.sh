# Sourced by the scripts beside it: which Debian 12 packages they need and how to get them; what containers need of the machine.

# Compiler, build tools and libraries; busybox-static is packed into the bundled image.
build_packages=(
  clang-19 lld-19 libclang-rt-19-dev g++ cmake ninja-build ccache pkg-config
  libboost1.81-dev libboost-json1.81-dev libarchive-dev libcurl4-openssl-dev libssl-dev libcli11-dev libsqlite3-dev
  libnl-3-dev libnl-route-3-dev libnftables-dev libseccomp-dev libisal-dev zlib1g-dev libzstd-dev libbz2-dev liblzma-dev
  busybox-static ca-certificates
)

# What the tests link and run: GoogleTest, the linters, a registry, network tools.
test_packages=(
  libgtest-dev libgmock-dev clang-tidy-19 clang-format-19 shellcheck git
  iproute2 nftables iputils-ping util-linux docker-registry skopeo docker.io containerd podman crun runc python3 xz-utils
  bzip2 procps attr strace curl umoci zstd python3-docker docker-compose
)

# What boots the guest of contrib/vm/run-tests.
guest_packages=(qemu-system-x86 qemu-system-common linux-image-cloud-amd64 cpio kmod systemd dbus)

# as_root COMMAND...: runs it as root, through sudo where one is not root already.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "$0: root is needed for: $*" >&2
    return 1
  fi
}

# install_packages NAME...: installs those that are missing; says nothing and touches nothing when none is.
install_packages() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    echo "$0: these packages are missing, and there is no apt-get: ${missing[*]}" >&2
    return 1
  fi
  echo "== installing ${missing[*]}"
  # RUNLEVEL=1: a package that brings a service does not start it.
  as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}" >/dev/null
}

# build_jobs: how many compilers at once: one for each core, fewer when memory is short (a Beast unit takes 0.5 GB).
build_jobs() {
  local cores memory_mb
  cores=$(nproc)
  memory_mb=$(awk '/^MemAvailable/ {print int($2 / 1024)}' /proc/meminfo 2>/dev/null || echo 2000)
  local by_memory=$((memory_mb / 700))
  [ "$by_memory" -ge 1 ] || by_memory=1
  echo $((cores < by_memory ? cores : by_memory))
}

# What containers need and this place lacks, a word each; nothing on an ordinary machine.
missing_surroundings() {
  [ -e /proc/self/mountinfo ] || { echo /proc; return; }
  [ -d /sys/kernel ] || echo /sys
  grep -q ' - cgroup2\? ' /proc/self/mountinfo || echo /sys/fs/cgroup
  grep -q '^[0-9]* [0-9]* [^ ]* [^ ]* / ' /proc/self/mountinfo || echo mounted-root
}

# ensure_surroundings SCRIPT ARGUMENT...: a fresh chroot has no /proc, no /sys, no cgroups, and its root is no mount point,
# which pivot_root(2) wants. They are made in a mount namespace of its own, where the script starts anew; nothing is left
# on the machine but the engine that runs in it. Returns 1 when that is not possible.
ensure_surroundings() {
  local missing propagation=private
  missing=$(missing_surroundings | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  if [ -n "${MYDOCKER_INSIDE:-}" ] || [ "$(id -u)" != 0 ]; then
    echo "$1: containers cannot run here; missing: $missing" >&2
    return 1
  fi
  echo "== missing here: $missing- using a mount namespace of its own"
  export MYDOCKER_INSIDE=1
  # In a chroot that is no mount point, propagation cannot be changed.
  unshare --mount --propagation private true 2>/dev/null || propagation=unchanged
  exec unshare --mount --propagation "$propagation" contrib/with-surroundings "$@"
}
