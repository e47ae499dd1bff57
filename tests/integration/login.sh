#!/usr/bin/env bash
# shale login and logout against a registry that wants a password.
. "$(dirname "$0")/../support/harness.sh"
command -v docker-registry > /dev/null || skip "needs docker-registry"

# user:secret, in bcrypt.
cat > "$T/users" <<'U'
user:$2b$05$4UCnyrPBI5oQBX31hhVpp.4HzVIkotkgE1exMk/b/vMu832jNraZy
U
cat > "$T/registry.yml" <<Y
version: 0.1
storage: {filesystem: {rootdirectory: $T/registry}}
http: {addr: "127.0.0.1:0"}
auth: {htpasswd: {realm: test, path: $T/users}}
Y
docker-registry serve "$T/registry.yml" > "$T/registry.log" 2>&1 &
registry=$!
on_exit='kill $registry 2>/dev/null; wait 2>/dev/null; true'
for _ in $(seq 100); do
    port=$(sed -n 's/.*listening on 127.0.0.1:\([0-9]*\).*/\1/p' "$T/registry.log")
    [ -n "$port" ] && break
    sleep 0.1
done
server=127.0.0.1:$port
export DOCKER_CONFIG=$T/docker HOME=$T/home XDG_RUNTIME_DIR=$T/run
unset REGISTRY_AUTH_FILE XDG_CONFIG_HOME
mkdir "$T/home" "$T/ctx"
config=$DOCKER_CONFIG/config.json
printf 'FROM scratch\nCOPY f /f\n' > "$T/ctx/Dockerfile"
echo content > "$T/ctx/f"
image=$server/team/app:1
login() { printf '%s\n' "$1" | "$SHALE" login -u user --password-stdin "${@:2}"; }
push() { "$SHALE" push -q "$image"; }

check "build" "$SHALE" build -q -t "$image" "$T/ctx"
check_fails "nobody is known" 1 "push access denied" push
check_fails "a wrong password" 1 "does not take these credentials" login wrong "$server"
check "is not kept" absent "$config"
check_fails "no name" 1 "a name and a password are needed" \
    sh -c 'echo secret | "$1" login --password-stdin "$2"' - "$SHALE" "$server"
check_fails "no registry there" 1 "127.0.0.1:1" login secret 127.0.0.1:1
check "the right one" contains "$(login secret "http://$server/")" "Login Succeeded"
check "the file is the user's alone" equal "$(stat -c %a "$config")" 600
check "with it" push
check "what is there is tried" contains "$("$SHALE" login "$server" < /dev/null)" "Login Succeeded"
check "logout" equal "$("$SHALE" logout "$server")" "Removed the login credentials for $server"
check "nobody is known any more" equal "$("$SHALE" logout "$server")" "Not logged in to $server"
echo more > "$T/ctx/f"
check "another image" "$SHALE" build -q -t "$image" "$T/ctx"
check_fails "cannot be pushed" 1 "push access denied" push

# What else is in the file stays, and docker understands what we write.
printf '{"HttpHeaders": {"X": "y"}, "auths": {"other": {"auth": "YTpi"}}}' > "$config"
check "login beside others" login secret "$server"
check "who are there" grep -q '"auth": "YTpi"' "$config"
check "with all else" grep -q '"X": "y"' "$config"
if command -v skopeo > /dev/null; then
    check "skopeo uses it" env REGISTRY_AUTH_FILE="$config" skopeo list-tags \
        --tls-verify=false "docker://$server/team/app"
    check "logout" "$SHALE" logout "$server"
    check "skopeo's login" env REGISTRY_AUTH_FILE="$T/run/containers/auth.json" \
        skopeo login --tls-verify=false -u user -p secret "$server"
    check "is used by us" push
    rm -r "$T/run"
fi

# At a terminal: a key too many is erased, nothing is shown, and Ctrl-C ends it.
at_terminal() { # KEYS, as printf has them
    python3 - "$SHALE" "$server" "$(printf "$1")" <<'P'
import os, pty, select, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], ["shale", "login", sys.argv[2]])
shown = b""
def until(text):
    global shown
    while text not in shown and select.select([terminal], [], [], 10)[0]:
        try:
            shown += os.read(terminal, 1000)
        except OSError:  # its end
            break
until(b"Username: ")
os.write(terminal, b"user\n")
until(b"Password: ")
os.write(terminal, sys.argv[3].encode() + b"\n")
until(b"nothing that it says")
os.waitpid(pid, 0)
print(shown.decode())
P
}
rm -f "$config"
shown=$(at_terminal 'secrx\177et')
check "login at a terminal" contains "$shown" "Login Succeeded"
check "shows no password" not grep -q secr <<< "$shown"
rm -f "$config"
check "which may be interrupted" contains "$(at_terminal 'sec\003')" interrupted
check "to no effect" absent "$config"

# A helper has the last word.
mkdir "$T/bin"
cat > "$T/bin/docker-credential-box" <<'H'
#!/bin/sh
box=$(dirname "$0")/box
case $1 in
store) cat > "$box" ;;
erase) rm -f "$box" ;;
get) [ -e "$box" ] && cat "$box" || { echo credentials not found; exit 1; } ;;
esac
H
chmod +x "$T/bin/docker-credential-box"
export PATH=$T/bin:$PATH
echo '{"credsStore": "box"}' > "$config"
check "login with a helper" login secret "$server"
check "which has the password" grep -q '"Secret":"secret"' "$T/bin/box"
check "the file has it not" not grep -q auth\" "$config"
check "it is used" push
check "logout asks it, too" "$SHALE" logout "$server"
check "it is gone" absent "$T/bin/box"
echo '{"credsStore": "absent"}' > "$config"
check_fails "a helper that is not there" 1 "docker-credential-absent is not installed" \
    login secret "$server"
echo '{"auths": []}' > "$config"
check_fails "a file that is none" 1 "$config" login secret "$server"
