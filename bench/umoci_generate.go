// What umoci does to a tree that it has unpacked, and again before it repacks it: an mtree manifest
// with SHA-256 of every file, by the library that it uses and with its keywords
// (umoci's MtreeKeywords). umoci has no command that does only this.
//
//	umoci_generate DIRECTORY
//
// Build it with GO111MODULE=off and GOPATH=/usr/share/gocode; needs the packages golang-go and
// golang-github-vbatts-go-mtree-dev.
package main

import (
	"bufio"
	"fmt"
	"os"

	"github.com/vbatts/go-mtree"
)

var keywords = []mtree.Keyword{"size", "type", "uid", "gid", "mode", "link", "nlink", "tar_time",
	"sha256digest", "xattr"}

func main() {
	tree, err := mtree.Walk(os.Args[1], nil, keywords, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, "umoci_generate:", err)
		os.Exit(1)
	}
	out := bufio.NewWriter(os.Stdout)
	tree.WriteTo(out)
	out.Flush()
}
