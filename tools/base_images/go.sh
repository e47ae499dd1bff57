# Sourced by tools/bases: golang:1.19, from Debian's golang, where public images have it.
go_images=(golang:1.19)

make_go() {
    local root=$work/go lib=$work/go/usr/lib/go-1.19 share=$work/go/usr/share/go-1.19
    make_package_layer go '' golang-1.19-go ca-certificates
    # Nobody tests the compiler or builds for a race detector in the examples.
    rm -rf "$share"/{test,misc,api,doc} "$lib"/pkg/*_race "$root"/usr/share/doc/golang*
    find "$share/src" -type d -name testdata -prune -exec rm -rf {} +
    find "$share/src" -name '*_test.go' -delete
    mkdir -p "$root"/usr/local "$root"/go/{bin,src}
    chmod 1777 "$root"/go/{bin,src}
    ln -s ../lib/go-1.19 "$root/usr/local/go"
    pack golang:1.19 "$root" "apt-get install golang-1.19-go" \
        "{\"Env\":[\"GOPATH=/go\",\"PATH=/go/bin:/usr/local/go/bin:${default_path#PATH=}\"],
          \"WorkingDir\":\"/go\",\"Cmd\":[\"bash\"]}" --from debian:bookworm-slim
}
