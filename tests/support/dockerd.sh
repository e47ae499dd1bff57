# Sourced after harness.sh by tests that want Docker's opinion of an archive.
#
#   start_dockerd [DRIVER]   a daemon of our own below $T, apart from one that may be running; it
#                   can `load` and `inspect`, and has no network. DRIVER: how it keeps layers
#                   (default vfs). False, with a note, where none starts.
#   docker_ ...     docker, talking to that daemon

start_dockerd() {
    if ! command -v dockerd > /dev/null; then
        echo "note: dockerd is not installed; docker load was not tried"
        return 1
    fi
    dockerd --data-root "$T/docker" --exec-root "$T/docker-exec" -H "unix://$T/docker.sock" \
        --pidfile "$T/docker.pid" --iptables=false --ip6tables=false --bridge=none \
        --storage-driver "${1:-vfs}" > "$T/dockerd.log" 2>&1 &
    local pid=$!
    on_exit="${on_exit:-true}; kill $pid 2> /dev/null; wait 2> /dev/null; true"
    for _ in $(seq 100); do
        docker_ version > /dev/null 2>&1 && return 0
        kill -0 "$pid" 2> /dev/null || break
        sleep 0.2
    done
    echo "note: dockerd does not start here; docker load was not tried"
    return 1
}

docker_() { docker -H "unix://$T/docker.sock" "$@"; }
