// Command load measures what rawserve's parts cost a request, beside Go's own reverse
// proxy and Knative's parts, and prints the tables of docs/benchmarks.md. Everything
// runs on this machine, in a network namespace of its own; a network is used before
// that, to build Knative's parts.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rawserve/rawserve/e2e/load"
	"github.com/rawserve/rawserve/e2e/load/stage"
)

// builtEnv carries from the process that builds, which has a network, to the one that measures.
const builtEnv = "RAWSERVE_LOAD_BUILT"

// apiserverEnv names the folder of etcd and kube-apiserver.
const apiserverEnv = "RAWSERVE_APISERVER_BIN_DIR"

type options struct {
	quick    bool
	cells    string
	hops     string
	rounds   int
	duration time.Duration
	warmUp   time.Duration
	json     string
	markdown string
	profile  string
	cache    string
	list     bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		var ended *exec.ExitError
		if errors.As(err, &ended) {
			os.Exit(ended.ExitCode()) // it has said why
		}
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "only the cells that budgets are about, in two minutes")
	flag.StringVar(&o.cells, "cells", "", "`regular expression` that chooses cells by name; -list prints the names")
	flag.StringVar(&o.hops, "hops", "", "`regular expression` that chooses hops by name; direct and Go's proxy are always there")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each cell is measured")
	flag.DurationVar(&o.duration, "duration", 0, "how long a cell is measured (default 1s, quick 500ms)")
	flag.DurationVar(&o.warmUp, "warm-up", 0, "how long a cell runs before it is measured (default 250ms, quick 150ms)")
	flag.StringVar(&o.json, "json", "", "`file` for all that was measured")
	flag.StringVar(&o.markdown, "markdown", "", "`file` for the tables; without it they are printed")
	flag.StringVar(&o.profile, "profile", "", "`folder` for CPU profiles; they cost time, so the tables are then not to be compared")
	flag.StringVar(&o.cache, "cache", "", "`folder` for what is built (default: rawserve-load in the user's cache)")
	flag.BoolVar(&o.list, "list", false, "print the names of cells and hops, and end")
	flag.Parse()
	cells, hops, err := o.choose()
	if err != nil {
		return err
	}
	if o.list {
		for _, c := range cells {
			fmt.Printf("%-24s %s\n", c.Name(), c.Group())
		}
		for _, h := range hops {
			fmt.Println(h)
		}
		return nil
	}
	if !stage.Isolated() {
		return build(ctx, o, hops)
	}
	return measure(ctx, o, cells, hops)
}

func (o *options) choose() ([]load.Cell, []load.Hop, error) {
	cells := load.Matrix()
	if o.quick {
		cells = load.Quick()
	}
	duration, warmUp := time.Second, 250*time.Millisecond
	if o.quick {
		duration, warmUp = 500*time.Millisecond, 150*time.Millisecond
	}
	o.duration, o.warmUp = cmp.Or(o.duration, duration), cmp.Or(o.warmUp, warmUp)
	if o.duration < 0 || o.warmUp < 0 {
		return nil, nil, fmt.Errorf("-duration %s and -warm-up %s: neither may be negative", o.duration, o.warmUp)
	}
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o755); err != nil {
			return nil, nil, fmt.Errorf("-profile: %w", err)
		}
		// A profile lasts whole seconds.
		o.duration = max(o.duration.Truncate(time.Second), time.Second)
	}
	if o.rounds < 1 {
		return nil, nil, fmt.Errorf("-rounds: %d is not usable: set at least 1", o.rounds)
	}
	cells, err := load.Choose(cells, o.cells)
	if err != nil {
		return nil, nil, err
	}
	hops, err := load.ChooseHops(o.hops)
	return cells, hops, err
}

// built is what the process that measures is told.
type built struct {
	Binaries stage.Binaries
	Missing  map[load.Hop]string
}

// build makes all binaries and has this program run anew where it can measure.
func build(ctx context.Context, o options, hops []load.Hop) error {
	root, err := stage.Repository()
	if err != nil {
		return err
	}
	if o.cache == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("finding the cache: %w; name one with -cache", err)
		}
		o.cache = filepath.Join(cache, "rawserve-load")
	}
	if o.cache, err = filepath.Abs(o.cache); err != nil {
		return fmt.Errorf("-cache: %w", err)
	}
	if err := os.MkdirAll(o.cache, 0o755); err != nil {
		return fmt.Errorf("making the cache: %w", err)
	}
	b := stage.Builder{Repository: root, Cache: o.cache, Profile: o.profile != "", Progress: os.Stderr}
	result := built{Missing: map[load.Hop]string{}}
	if result.Binaries, err = b.Own(ctx); err != nil {
		return err
	}
	if slices.ContainsFunc(hops, load.Hop.Knative) {
		addKnative(ctx, b, hops, &result)
	}
	if err := apiserver(ctx, root); err != nil {
		return err
	}
	raw, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("encoding what was built: %w", err)
	}
	return stage.Isolate(ctx, builtEnv+"="+string(raw))
}

// addKnative builds Knative's parts. Without them the rest is measured all the same,
// and the output says what is missing and why.
func addKnative(ctx context.Context, b stage.Builder, hops []load.Hop, result *built) {
	bins, err := b.Knative(ctx)
	if err == nil {
		for name, path := range bins {
			result.Binaries[name] = path
		}
		return
	}
	fmt.Fprintf(os.Stderr, "Knative's parts are left out: %v\n", err)
	for _, h := range hops {
		if h.Knative() {
			first, _, _ := strings.Cut(err.Error(), "\n")
			result.Missing[h] = "It cannot be built: " + first
		}
	}
}

// apiserver has etcd and kube-apiserver built, unless the environment says where they are.
func apiserver(ctx context.Context, root string) error {
	if os.Getenv(apiserverEnv) != "" {
		return nil
	}
	folder := filepath.Join(root, "bin/apiserver")
	fmt.Fprintln(os.Stderr, "building etcd and kube-apiserver (cached by version)")
	cmd := exec.CommandContext(ctx, "go", "run", "./cmd/cluster", "build", "--link", folder, "etcd", "kube-apiserver")
	cmd.Dir = filepath.Join(root, "e2e/cluster")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building etcd and kube-apiserver: %w", err)
	}
	return os.Setenv(apiserverEnv, folder)
}

// measure puts everything up and goes through the matrix.
func measure(ctx context.Context, o options, cells []load.Cell, hops []load.Hop) error {
	var b built
	if err := json.Unmarshal([]byte(os.Getenv(builtEnv)), &b); err != nil {
		return fmt.Errorf("reading what was built: %w", err)
	}
	hops = slices.DeleteFunc(hops, func(h load.Hop) bool { return b.Missing[h] != "" })
	s, err := stage.Start(ctx, stage.Options{Binaries: b.Binaries, Hops: hops, Profile: o.profile != "", Progress: os.Stderr})
	if err != nil {
		return err
	}
	defer s.Close()
	r := load.Run{
		Started: time.Now(), Rounds: o.rounds, Duration: o.duration, Missing: b.Missing,
		Machine: load.Machine{
			CPU: stage.Processor(), Cores: runtime.NumCPU(), Go: runtime.Version(), Commit: commit(ctx), LoadBefore: stage.LoadAverage(),
		},
	}
	if r.Idle, err = s.Idle(); err != nil {
		return err
	}
	for i, cell := range cells {
		fmt.Fprintf(os.Stderr, "%3d/%d %s\n", i+1, len(cells), cell.Name())
		series, err := measureCell(ctx, o, s, cell, hops)
		if err != nil {
			return err
		}
		r.Series = append(r.Series, series)
	}
	r.Took = time.Since(r.Started)
	r.Machine.LoadAfter = stage.LoadAverage()
	return o.write(r)
}

// measureCell takes the hops in turn, round by round, so that what others do to the
// machine meanwhile hits all alike.
func measureCell(ctx context.Context, o options, s *stage.Stage, cell load.Cell, hops []load.Hop) (load.Series, error) {
	series := load.Series{Cell: cell, Samples: map[load.Hop][]load.Sample{}}
	for round := range o.rounds {
		for i := range hops {
			// Each round begins with another hop: the first one after a pause is better off.
			hop := hops[(i+round)%len(hops)]
			if !s.Has(hop) {
				continue
			}
			var sample load.Sample
			var err error
			if o.profile != "" {
				sample, err = s.Profile(ctx, hop, cell, o.warmUp, o.duration, o.profile)
			} else {
				sample, err = s.Measure(ctx, hop, cell, o.warmUp, o.duration)
			}
			if ctx.Err() != nil {
				return series, fmt.Errorf("stopped: %w", ctx.Err())
			}
			if err != nil {
				// The others are worth measuring all the same; the tables say what failed.
				fmt.Fprintln(os.Stderr, err)
				sample = load.Sample{Errors: 1, FirstError: err.Error()}
			}
			series.Samples[hop] = append(series.Samples[hop], sample)
		}
	}
	return series, nil
}

func (o *options) write(r load.Run) error {
	if o.json != "" {
		raw, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return fmt.Errorf("encoding the results: %w", err)
		}
		if err := os.WriteFile(o.json, append(raw, '\n'), 0o644); err != nil {
			return fmt.Errorf("-json: %w", err)
		}
	}
	if o.markdown == "" {
		r.Markdown(os.Stdout)
		return nil
	}
	f, err := os.Create(o.markdown)
	if err != nil {
		return fmt.Errorf("-markdown: %w", err)
	}
	r.Markdown(f)
	return f.Close() //nolint:wrapcheck // the path is in it
}

// commit is the repository's, with a plus where files differ from it.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty=+", "--abbrev=9", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
