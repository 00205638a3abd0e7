// Command images builds rawserve's images as archives, without Docker.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/rawserve/rawserve/e2e/suites/harness"
)

func main() {
	out := flag.String("out", "bin", "folder to write the archives to")
	flag.Parse()
	files, err := harness.BuildRepositoryImages(context.Background(), *out)
	if err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
	for _, f := range files {
		fmt.Println(f)
	}
}
