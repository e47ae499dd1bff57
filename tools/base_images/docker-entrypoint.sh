#!/bin/sh
# Lets `run IMAGE script.js` mean `node script.js`, as the public node images do.
set -e
if [ "${1#-}" != "$1" ] || [ -z "$(command -v "$1")" ] || { [ -f "$1" ] && ! [ -x "$1" ]; }; then
    set -- node "$@"
fi
exec "$@"
