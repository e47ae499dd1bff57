# Sourced after harness.sh by tests that fetch from elsewhere.
#
#   start_web_and_git WEB GIT   a web server for the files below WEB, and a git daemon for the
#                               repositories below GIT, both on free loopback ports until the end;
#                               leaves their addresses in $http and $daemon

start_web_and_git() {
    local support pids
    support=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
    python3 "$support/file_server.py" "$1" "$T/http.log" "$T/http.port" &
    pids=$!
    "$(git --exec-path)/git-daemon" --base-path="$2" --export-all --reuseaddr \
        --listen=127.0.0.1 --port="$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' | tee "$T/git.port")" \
        --pid-file="$T/git.pid" "$2" > "$T/git.log" 2>&1 &
    pids="$pids $!"
    on_exit="${on_exit:-true}; kill $pids 2> /dev/null; wait 2> /dev/null; true"
    for _ in $(seq 200); do [ -s "$T/http.port" ] && [ -s "$T/git.pid" ] && break; sleep 0.1; done
    [ -s "$T/http.port" ] || skip "the HTTP server did not start"
    [ -s "$T/git.pid" ] || skip "the git daemon did not start"
    http=http://127.0.0.1:$(cat "$T/http.port")
    daemon=git://127.0.0.1:$(cat "$T/git.port")
}
