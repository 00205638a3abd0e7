// Command load-client sends the load of one cell to one hop. It reads its options as
// JSON from its argument, says "warm" once it has warmed up, waits for a line on its
// standard input, and prints its result as JSON. The load suite starts it.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/rawserve/rawserve/e2e/load/client"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "load-client:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: load-client OPTIONS")
	}
	var o client.Options
	if err := json.Unmarshal([]byte(os.Args[1]), &o); err != nil {
		return fmt.Errorf("reading the options: %w", err)
	}
	result, err := client.Run(context.Background(), o, func() {
		fmt.Println("warm")
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}
