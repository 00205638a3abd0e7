// Command load-backend is the server that the load is for.
package main

import (
	"fmt"
	"net"
	"os"

	"github.com/rawserve/rawserve/e2e/load/backend"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: load-backend ADDRESS")
		os.Exit(2)
	}
	ln, err := net.Listen("tcp", os.Args[1]) //nolint:noctx // it ends with the process
	if err == nil {
		err = backend.Server().Serve(ln)
	}
	fmt.Fprintln(os.Stderr, "load-backend:", err)
	os.Exit(1)
}
