# Sourced by tools/bases: python:3.11, from Debian's python3 and pip.
python_images=(python:3.11-slim python:3.11)

make_python() {
    local root=$work/python version
    make_package_layer python '' python3 python3-pip
    # A container's Python belongs to the container: pip may install into it, as in public images.
    rm "$root/usr/lib/python3.11/EXTERNALLY-MANAGED"
    mkdir -p "$root/usr/local/bin"
    ln -s /usr/bin/python3 "$root/usr/local/bin/python"
    version=$(sed -n '/^Package: python3.11$/,/^$/s/^Version: \([0-9.]*\).*/\1/p' \
        "$root/var/lib/dpkg/status")
    pack python:3.11-slim "$root" "apt-get install python3 python3-pip" \
        "{\"Env\":[\"LANG=C.UTF-8\",\"PYTHON_VERSION=$version\"],\"Cmd\":[\"python3\"]}" \
        --from debian:bookworm-slim
    "$parts/pack.py" "$layout" python:3.11 --same-as python:3.11-slim
}
