# Sourced after harness.sh by tests that want containerd's opinion of an image.
#
#   start_containerd [LINES]   a daemon of our own below $T/ctr, with nothing that it need not have;
#                   LINES are added to its configuration. Sets $containerd to its process, which is
#                   the caller's to end. It answers at $T/ctr/sock, a moment later.

start_containerd() {
    mkdir -p "$T/ctr"
    cat > "$T/ctr/config.toml" <<C
version = 2
root = "$T/ctr/root"
state = "$T/ctr/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$T/ctr/sock"
${1:-}
C
    containerd -c "$T/ctr/config.toml" > "$T/ctr/log" 2>&1 &
    containerd=$!
}
