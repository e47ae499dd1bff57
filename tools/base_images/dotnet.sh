# Sourced by tools/bases: stubs of the .NET images. Debian has no .NET; a shell script named dotnet
# takes its place, so that a Dockerfile of this shape can be built at all. It compiles nothing.
dotnet_images=(mcr.microsoft.com/dotnet/sdk:8.0 mcr.microsoft.com/dotnet/aspnet:8.0)

make_dotnet() {
    local image
    ensure busybox:latest
    mkdir -p "$work/dotnet/usr/bin"
    install -m 755 "$parts/dotnet-stub" "$work/dotnet/usr/bin/dotnet"
    for image in "${dotnet_images[@]}"; do
        pack "$image" "$work/dotnet" "a stub of the dotnet command" \
            '{"Env":["DOTNET_VERSION=8.0.0-stub","ASPNETCORE_HTTP_PORTS=8080"],
              "Labels":{"org.opencontainers.image.title":"stub of .NET: compiles nothing"}}' \
            --from busybox:latest
    done
}
