// Command testserver is a model server for tests: it starts in milliseconds, speaks
// the V1 and V2 protocols over HTTP/1.1, cleartext HTTP/2 and gRPC on one port, echoes
// what it is asked, counts what it executes, and is slow, failing or crashing on
// demand. It also serves files, as the store from which models are downloaded.
//
// Every flag can also be set by the environment: --startup-delay by
// TESTSERVER_STARTUP_DELAY, and so on. A flag wins over the environment.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.LookupEnv, os.Stderr))
}

// run is main with everything it touches handed in.
func run(ctx context.Context, args []string, lookup func(string) (string, bool), stderr io.Writer) int {
	s, err := parseSettings(args, lookup, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "testserver:", err)
		return 2
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	srv := newServer(s, log)
	err = srv.Run(ctx, nil)
	if err != nil {
		log.Error("the server ended", "reason", err.Error())
		return 1
	}
	return 0
}
