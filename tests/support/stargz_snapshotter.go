// stargz-snapshotter as a program of its own, for tests and benchmarks: Debian has its library and
// its client, ctr-remote, but not the daemon that containerd asks for mounts.
//
//	stargz_snapshotter DIRECTORY SOCKET
//
// serves containerd's snapshot service on SOCKET and keeps its state in DIRECTORY. Registries are
// spoken to in plain HTTP and without credentials. Build it with GO111MODULE=off and
// GOPATH=/usr/share/gocode; needs the packages golang-go and
// golang-github-containerd-stargz-snapshotter-dev.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	snapshots "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/contrib/snapshotservice"
	"github.com/containerd/containerd/reference"
	"github.com/containerd/containerd/remotes/docker"
	"github.com/containerd/stargz-snapshotter/fs"
	"github.com/containerd/stargz-snapshotter/fs/config"
	"github.com/containerd/stargz-snapshotter/fs/source"
	"github.com/containerd/stargz-snapshotter/snapshot"
	"google.golang.org/grpc"
)

func registryOf(image reference.Spec) ([]docker.RegistryHost, error) {
	return []docker.RegistryHost{{
		Client:       &http.Client{Transport: http.DefaultTransport},
		Host:         image.Hostname(),
		Scheme:       "http",
		Path:         "/v2",
		Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve,
	}}, nil
}

func serve(directory, socket string) error {
	files, err := fs.NewFilesystem(filepath.Join(directory, "layers"),
		config.Config{NoPrometheus: true}, fs.WithGetSources(source.FromDefaultLabels(registryOf)))
	if err != nil {
		return err
	}
	snapshotter, err := snapshot.NewSnapshotter(context.Background(),
		filepath.Join(directory, "snapshots"), files)
	if err != nil {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	snapshots.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(snapshotter))
	return server.Serve(listener)
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: stargz_snapshotter DIRECTORY SOCKET")
		os.Exit(2)
	}
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "stargz_snapshotter:", err)
		os.Exit(1)
	}
}
