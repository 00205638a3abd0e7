package stage

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/rawserve/rawserve/e2e/load"
	"github.com/rawserve/rawserve/e2e/load/client"
)

// Idle is the memory that each hop has resident now, in bytes.
func (s *Stage) Idle() (map[load.Hop]int64, error) {
	idle := map[load.Hop]int64{}
	for hop, t := range s.targets {
		n, err := t.peak()
		if err != nil {
			return nil, err
		}
		if n > 0 {
			idle[hop] = n
		}
	}
	return idle, nil
}

// Has reports whether a hop has been put up.
func (s *Stage) Has(hop load.Hop) bool { return s.targets[hop] != nil }

// Measure sends the load of a cell through a hop once.
func (s *Stage) Measure(ctx context.Context, hop load.Hop, cell load.Cell, warmUp, duration time.Duration) (load.Sample, error) {
	sample, err := s.measure(ctx, hop, cell, warmUp, duration, nil)
	if err != nil {
		return load.Sample{}, fmt.Errorf("measuring %s through %s: %w", cell.Name(), hop, err)
	}
	return sample, nil
}

// Profile is Measure with a CPU profile of each process of the hop, written to folder.
func (s *Stage) Profile(ctx context.Context, hop load.Hop, cell load.Cell, warmUp, duration time.Duration, folder string) (load.Sample, error) {
	var fetches []func() error
	sample, err := s.measure(ctx, hop, cell, warmUp, duration, func() {
		for _, p := range s.targets[hop].parts {
			done := make(chan error, 1)
			go func() {
				done <- p.fetchProfile(ctx, duration, filepath.Join(folder, cell.Name()+"."+fileName(hop)+"."+p.name+".pprof"))
			}()
			fetches = append(fetches, func() error { return <-done })
		}
	})
	for _, wait := range fetches {
		err = errors.Join(err, wait())
	}
	if err != nil {
		return load.Sample{}, fmt.Errorf("profiling %s through %s: %w", cell.Name(), hop, err)
	}
	return sample, nil
}

// fileName is a hop's name without what is awkward in a file's.
func fileName(hop load.Hop) string {
	name := []byte(hop)
	for i, c := range name {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			name[i] = '-'
		}
	}
	return string(name)
}

func (s *Stage) measure(ctx context.Context, hop load.Hop, cell load.Cell, warmUp, duration time.Duration, begins func()) (load.Sample, error) {
	t := s.targets[hop]
	if t == nil {
		return load.Sample{}, errors.New("the hop is not there")
	}
	o := client.Options{Cell: cell, Addr: t.http, Header: t.header, WarmUp: warmUp, Duration: duration}
	if cell.Protocol == load.GRPC {
		o.Addr = t.h2c
	}
	c, err := s.startClient(ctx, o)
	if err != nil {
		return load.Sample{}, err
	}
	defer c.end()
	if err := c.warm(); err != nil {
		return load.Sample{}, err
	}
	if err := t.resetPeak(); err != nil {
		return load.Sample{}, err
	}
	clientBefore, err := CPU(c.p.cmd.Process.Pid)
	if err != nil {
		return load.Sample{}, err
	}
	if begins != nil {
		begins()
	}
	before, err := t.cpu()
	if err != nil {
		return load.Sample{}, err
	}
	r, err := c.result()
	if err != nil {
		return load.Sample{}, err
	}
	after, err := t.cpu()
	if err != nil {
		return load.Sample{}, err
	}
	peak, err := t.peak()
	if err != nil {
		return load.Sample{}, err
	}
	sample := load.Sample{
		Requests: r.Requests, Errors: r.Errors, FirstError: r.FirstError, Elapsed: r.Elapsed, P50: r.P50, P99: r.P99,
		CPU: after - before, Peak: peak,
	}
	if used := c.cpu(); used > clientBefore {
		sample.Client = used - clientBefore
	}
	return sample, nil
}

// runningClient is a client's process.
type runningClient struct {
	p   *process
	in  io.WriteCloser
	out *bufio.Reader
}

func (s *Stage) startClient(ctx context.Context, o client.Options) (*runningClient, error) {
	options, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encoding the client's options: %w", err)
	}
	cmd := exec.CommandContext(ctx, s.o.Binaries[binClient], string(options))
	// A collection in the client is a pause in the load.
	cmd.Env = append(os.Environ(), "GOGC=400")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	// Not StdoutPipe: waiting for the process would close it before it is read.
	out, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	cmd.Stdout = write
	p, err := spawn(cmd, string(binClient), filepath.Join(s.dir, string(binClient)+".log"))
	write.Close()
	if err != nil {
		out.Close()
		return nil, err
	}
	return &runningClient{p: p, in: in, out: bufio.NewReader(out)}, nil
}

// warm waits until the client has warmed up.
func (c *runningClient) warm() error {
	line, err := c.out.ReadString('\n')
	if err != nil || line != "warm\n" {
		<-c.p.ended
		return fmt.Errorf("the client said %q: %s", line, tail(c.p.log))
	}
	return nil
}

// result lets the client go and waits for what it has to say.
func (c *runningClient) result() (client.Result, error) {
	var r client.Result
	if _, err := io.WriteString(c.in, "go\n"); err != nil {
		return r, fmt.Errorf("starting the client: %w", err)
	}
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		<-c.p.ended
		return r, fmt.Errorf("the client has ended: %s", tail(c.p.log))
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return r, fmt.Errorf("reading the client's result: %w", err)
	}
	return r, nil
}

// cpu is all the processor time that the client has used. It ends first.
func (c *runningClient) cpu() time.Duration {
	<-c.p.ended
	state := c.p.cmd.ProcessState
	return state.UserTime() + state.SystemTime()
}

func (c *runningClient) end() { stopAll([]*process{c.p}) }

func (t *target) cpu() (time.Duration, error) {
	sum := time.Duration(0)
	for _, p := range t.parts {
		d, err := CPU(p.pid)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", p.name, err)
		}
		sum += d
	}
	return sum, nil
}

func (t *target) resetPeak() error {
	for _, p := range t.parts {
		if err := ResetPeak(p.pid); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

func (t *target) peak() (int64, error) {
	sum := int64(0)
	for _, p := range t.parts {
		n, err := Peak(p.pid)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", p.name, err)
		}
		sum += n
	}
	return sum, nil
}

// fetchProfile writes a profile of the next seconds.
func (p *part) fetchProfile(ctx context.Context, d time.Duration, path string) error {
	seconds := max(1, int(d.Seconds()))
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", p.pprof, seconds)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("asking %s for a profile: %w", p.name, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("asking %s for a profile: %s", p.name, res.Status)
	}
	out, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("writing a profile: %w", err)
	}
	defer out.Close()
	if _, err := io.Copy(out, res.Body); err != nil {
		return fmt.Errorf("writing a profile: %w", err)
	}
	return nil
}
