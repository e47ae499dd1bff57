// Counts the words of what is sent to it: by POST, or on standard input with -once.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
)

var version = "unversioned" // set by the linker

func write(out io.Writer, text io.Reader) error {
	words, err := Count(text)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(words)
}

func main() {
	once := flag.Bool("once", false, "count standard input and exit")
	show := flag.Bool("version", false, "print the version and exit")
	listen := flag.String("listen", ":8080", "address to serve at")
	flag.Parse()
	switch {
	case *show:
		fmt.Println("wordcount", version)
	case *once:
		if err := write(os.Stdout, os.Stdin); err != nil {
			log.Fatal(err)
		}
	default:
		http.HandleFunc("/", func(out http.ResponseWriter, request *http.Request) {
			if err := write(out, request.Body); err != nil {
				http.Error(out, err.Error(), http.StatusBadRequest)
			}
		})
		log.Fatal(http.ListenAndServe(*listen, nil))
	}
}
