// Package stage puts up what is measured: a server, and every hop as a process of its
// own in front of it, in a network namespace of their own. It reads what each process
// uses from the kernel.
package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"k8s.io/client-go/rest"

	"github.com/rawserve/rawserve/e2e/load"
	"github.com/rawserve/rawserve/internal/apiservertest"
)

// Ports, all free in a namespace of their own. Those of Knative are its own choice, but
// for the queue-proxy's, which is its activator's too.
const (
	backendPort       = 8080
	proxyPort         = 8090
	activatorPort     = 10000
	chainPort         = 10001
	activatorAdmin    = 8081
	agentPort         = 9081
	agentAdmin        = 9082
	knativeHTTPPort   = 8012
	knativeH2CPort    = 8013
	knativeQueuePort  = 8212
	knativeQueueAdmin = 8022
	firstPprofPort    = 6060
)

// Options say what is put up.
type Options struct {
	// Binaries are the programs; without Knative's its hops are left out.
	Binaries Binaries
	// Hops are those that are wanted.
	Hops []load.Hop
	// Profile is set where the binaries serve profiles.
	Profile bool
	// Progress gets a line for each thing that takes time.
	Progress io.Writer
}

// Stage is what has been put up.
type Stage struct {
	o         Options
	dir       string
	processes []*process
	stopAPI   func()
	targets   map[load.Hop]*target
	kube      *rest.Config
}

// target is a hop as clients see it.
type target struct {
	http, h2c string
	header    map[string]string
	parts     []*part
}

// part is one process of a hop.
type part struct {
	name  string
	pid   int
	pprof string
}

// Start puts everything up and waits until a request passes each hop. This process
// must be Isolated.
func Start(ctx context.Context, o Options) (*Stage, error) {
	dir, err := os.MkdirTemp("", "rawserve-load-")
	if err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	s := &Stage{o: o, dir: dir, targets: map[load.Hop]*target{}}
	if err := s.start(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close ends all processes and removes what they wrote.
func (s *Stage) Close() {
	stopAll(s.processes)
	if s.stopAPI != nil {
		s.stopAPI()
	}
	_ = os.RemoveAll(s.dir)
}

func (s *Stage) start(ctx context.Context) error {
	if err := bringUp(); err != nil {
		return err
	}
	backend, err := s.run(ctx, binBackend, nil, ":"+strconv.Itoa(backendPort))
	if err != nil {
		return err
	}
	if err := backend.listens(ctx, local(backendPort)); err != nil {
		return err
	}
	s.targets[load.Direct] = &target{http: local(backendPort), h2c: local(backendPort)}
	if s.wants(load.GoProxy) {
		if err := s.startProxy(ctx); err != nil {
			return err
		}
	}
	if s.wants(load.Agent, load.Both) {
		if err := s.startAgent(ctx); err != nil {
			return err
		}
	}
	if s.wants(load.Activator, load.Both, load.KnativeActivator, load.KnativeBoth) {
		fmt.Fprintln(s.o.Progress, "starting etcd and kube-apiserver")
		if s.kube, s.stopAPI, err = apiservertest.Launch(ctx); err != nil {
			return err //nolint:wrapcheck // it says what it was doing
		}
	}
	if s.wants(load.Activator, load.Both) {
		if err := s.startActivator(ctx); err != nil {
			return err
		}
	}
	if s.wants(load.KnativeQueue, load.KnativeBoth) {
		if err := s.startKnativeQueue(ctx); err != nil {
			return err
		}
	}
	if s.wants(load.KnativeActivator, load.KnativeBoth) {
		if err := s.startKnativeActivator(ctx); err != nil {
			return err
		}
	}
	return s.answer(ctx)
}

// wants reports whether one of the hops is wanted.
func (s *Stage) wants(hops ...load.Hop) bool {
	for _, h := range hops {
		for _, w := range s.o.Hops {
			if h == w {
				return true
			}
		}
	}
	return false
}

// run starts a program with this environment besides the paths.
func (s *Stage) run(ctx context.Context, name binary, env []string, args ...string) (*process, error) {
	// The context bounds the start, and Close ends the child.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), s.o.Binaries[name], args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TMPDIR=" + s.dir, pprofEnv + "=" + s.nextPprof()}, env...)
	cmd.Dir = s.dir
	p, err := spawn(cmd, string(name), filepath.Join(s.dir, string(name)+".log"))
	if err != nil {
		return nil, err
	}
	s.processes = append(s.processes, p)
	return p, nil
}

func (s *Stage) nextPprof() string { return local(firstPprofPort + len(s.processes)) }

// part is a process that has just been started with run, as a part of a hop.
func (s *Stage) part(p *process) *part {
	return &part{name: p.name, pid: p.cmd.Process.Pid, pprof: local(firstPprofPort + len(s.processes) - 1)}
}

func (s *Stage) startProxy(ctx context.Context) error {
	p, err := s.run(ctx, binProxy, nil, local(proxyPort), local(backendPort))
	if err != nil {
		return err
	}
	s.targets[load.GoProxy] = &target{http: local(proxyPort), h2c: local(proxyPort), parts: []*part{s.part(p)}}
	return p.listens(ctx, local(proxyPort))
}

// answer waits until a request passes each hop, which also tells that routes and
// pods are known to those that watch them.
func (s *Stage) answer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for hop, t := range s.targets {
		last := error(nil)
		for {
			if last = ask(ctx, t); last == nil {
				break
			}
			select {
			case <-ctx.Done():
				err := fmt.Errorf("waiting for an answer through %s: %w", hop, last)
				for _, p := range s.processes {
					err = errors.Join(err, errors.New(tail(p.log)))
				}
				return err
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

func ask(ctx context.Context, t *target) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.http, nil)
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	for name, value := range t.header {
		req.Header.Set(name, value)
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err //nolint:wrapcheck // the caller says what it was
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, 512))
	if res.StatusCode != http.StatusOK || string(body) != load.Answer(0) {
		return fmt.Errorf("the answer is %s: %s", res.Status, body)
	}
	return nil
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
