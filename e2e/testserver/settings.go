package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// envPrefix begins the names of the variables that stand for flags.
const envPrefix = "TESTSERVER_"

// Settings say how the server behaves.
type Settings struct {
	// Addr is where everything is served; GRPCAddr, where set, serves gRPC alone.
	Addr, GRPCAddr string
	// ModelName is the one model's name; "*" accepts any.
	ModelName string
	// StartupDelay passes before the server listens, LoadDelay before it is ready.
	StartupDelay, LoadDelay time.Duration
	// Delay is how long an execution takes, unless the request says otherwise.
	Delay time.Duration
	// FailEvery makes every so-manieth execution answer FailStatus; 0 makes none.
	FailEvery  int64
	FailStatus int
	// ExitAfter ends the process with an error that long after it listens,
	// ExitAfterRequests in the middle of that execution. 0 is never.
	ExitAfter         time.Duration
	ExitAfterRequests int64
	// Crash ends the process with an error instead of listening.
	Crash bool
	// ServeFiles is a folder whose files are served.
	ServeFiles string
	// Ledger is the base URL of a test server that keeps count of executions by
	// request; empty for none.
	Ledger string
	// Relay opens connections for HTTP CONNECT requests, so that a test outside a
	// cluster reaches the network inside it.
	Relay bool
	// Grace is how long requests in flight may take after SIGTERM.
	Grace time.Duration
}

// parseSettings reads the environment and then the flags.
func parseSettings(args []string, lookup func(string) (string, bool), stderr io.Writer) (Settings, error) {
	var s Settings
	f := flag.NewFlagSet("testserver", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&s.Addr, "addr", ":8080", "address for HTTP/1.1, h2c and gRPC")
	f.StringVar(&s.GRPCAddr, "grpc-addr", "", "address for gRPC alone, for example :9000; empty for none")
	f.StringVar(&s.ModelName, "model-name", "model", `the model's name; "*" accepts any`)
	f.DurationVar(&s.StartupDelay, "startup-delay", 0, "time before the server listens")
	f.DurationVar(&s.LoadDelay, "load-delay", 0, "time in which the server listens and is not ready")
	f.DurationVar(&s.Delay, "delay", 0, "time an execution takes; a request's own delay (query, X-Delay header or gRPC metadata x-delay) replaces it")
	f.Int64Var(&s.FailEvery, "fail-every", 0, "every how-manieth execution fails; 0 for none")
	f.IntVar(&s.FailStatus, "fail-status", http.StatusInternalServerError, "HTTP status of an execution that fails")
	f.DurationVar(&s.ExitAfter, "exit-after", 0, "time after which the process exits with 1; 0 for never")
	f.Int64Var(&s.ExitAfterRequests, "exit-after-requests", 0, "execution in the middle of which the process exits with 1; 0 for never")
	f.BoolVar(&s.Crash, "crash", false, "exit with 1 after the startup delay")
	f.StringVar(&s.ServeFiles, "serve-files", "", "folder whose files are served")
	f.StringVar(&s.Ledger, "ledger", "", "base URL of a test server in which each execution is entered by its request's id (X-Request-Id header, or a gRPC message's id)")
	f.BoolVar(&s.Relay, "relay", false, "open connections for HTTP CONNECT requests")
	f.DurationVar(&s.Grace, "grace", 30*time.Second, "time that requests in flight may take after SIGTERM")
	if err := fromEnv(f, lookup); err != nil {
		return Settings{}, err
	}
	if err := f.Parse(args); err != nil {
		return Settings{}, err
	}
	if f.NArg() > 0 {
		return Settings{}, fmt.Errorf("unexpected argument %q; all settings are flags", f.Arg(0))
	}
	return s, s.validate()
}

func fromEnv(f *flag.FlagSet, lookup func(string) (string, bool)) error {
	var errs []error
	f.VisitAll(func(fl *flag.Flag) {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(fl.Name, "-", "_"))
		if value, ok := lookup(name); ok && value != "" {
			if err := f.Set(fl.Name, value); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
	})
	return errors.Join(errs...)
}

func (s Settings) validate() error {
	var errs []error
	for name, d := range map[string]time.Duration{
		"startup-delay": s.StartupDelay, "load-delay": s.LoadDelay, "delay": s.Delay, "exit-after": s.ExitAfter, "grace": s.Grace,
	} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("--%s must not be negative, not %s", name, d))
		}
	}
	if s.FailEvery < 0 || s.ExitAfterRequests < 0 {
		errs = append(errs, errors.New("--fail-every and --exit-after-requests must not be negative"))
	}
	if s.FailStatus < 400 || s.FailStatus > 599 {
		errs = append(errs, fmt.Errorf("--fail-status must be from 400 to 599, not %d", s.FailStatus))
	}
	if s.ModelName == "" {
		errs = append(errs, errors.New(`--model-name must not be empty; "*" accepts any name`))
	}
	if u, err := url.Parse(s.Ledger); s.Ledger != "" && (err != nil || u.Scheme != "http" || u.Host == "") {
		errs = append(errs, fmt.Errorf("--ledger must be a URL such as http://ledger:8080, not %q", s.Ledger))
	}
	if s.ServeFiles != "" {
		if info, err := os.Stat(s.ServeFiles); err != nil || !info.IsDir() {
			errs = append(errs, fmt.Errorf("--serve-files: %q is not a folder that can be read", s.ServeFiles))
		}
	}
	return errors.Join(errs...)
}
