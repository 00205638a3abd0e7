package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/rawserve/rawserve/activator"
)

// probeWait is how long an agent may keep the question before it says no.
const probeWait = time.Second

// probeClients ask agents: eager in the first seconds of a pod that requests wait
// for, patient otherwise.
type probeClients struct {
	eager, patient *http.Client
}

func newProbeClients() probeClients {
	dial := (&net.Dialer{}).DialContext
	client := func(dial dialFunc) *http.Client {
		return &http.Client{
			Transport: &http.Transport{
				DialContext:         dial,
				MaxIdleConnsPerHost: 1,
				IdleConnTimeout:     5 * time.Second,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return probeClients{eager: client(eagerly(dial)), patient: client(patiently(dial))}
}

// prober asks one pod's agent whether the server is ready, until it is.
type prober struct {
	s          *Server
	t          *target
	p          *pod
	name, addr string
	port       int

	begun time.Time
	asked int
}

// agentWord is what an agent said.
type agentWord int

const (
	saidNothing agentWord = iota // no agent answers
	saidNotYet
	saidReady
	saidAskKubelet // the agent cannot tell
)

func (pr *prober) run(ctx context.Context) {
	url := fmt.Sprintf("http://%s/ready?wait=%s", net.JoinHostPort(pr.addr, strconv.Itoa(pr.port)), probeWait)
	changed := time.Now()
	pr.begun = changed
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		asked := time.Now()
		pr.asked++
		client := pr.s.probes.patient
		if waiting, _ := pr.t.pool.Waiting(); activator.DialEagerly(asked.Sub(changed), waiting > 0) {
			client = pr.s.probes.eager
		}
		switch word := askAgent(ctx, client, url); {
		case word == saidReady:
			pr.finish(ctx, func() { pr.t.setReady(pr.name, pr.addr) })
			return
		case word == saidAskKubelet:
			pr.finish(ctx, func() {
				pr.p.kubelet = true
				pr.s.settlePod(pr.t, pr.p, pr.port)
			})
			return
		case word == saidNotYet && time.Since(asked) > probeWait/2:
			// The agent has done the waiting.
			continue
		}
		waiting, _ := pr.t.pool.Waiting()
		timer.Reset(activator.ProbeDelay(time.Since(changed), waiting > 0))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-pr.p.poke:
			changed = time.Now()
		}
	}
}

// finish ends the prober with what it found, unless it was stopped meanwhile.
func (pr *prober) finish(ctx context.Context, found func()) {
	pr.t.mu.Lock()
	defer pr.t.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	pr.p.stop = nil
	found()
	if pr.t.pool.IsReady(pr.name) {
		pr.t.past.probe = probed{pod: pr.name, begun: pr.begun, ended: time.Now(), asked: pr.asked}
	}
	pr.s.borrowLocked(pr.t)
	pr.t.poke()
}

func askAgent(ctx context.Context, client *http.Client, url string) agentWord {
	ctx, cancel := context.WithTimeout(ctx, probeWait+time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return saidNothing
	}
	res, err := client.Do(req)
	if err != nil {
		return saidNothing
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 4<<10))
	res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		return saidReady
	case http.StatusNotImplemented, http.StatusNotFound:
		return saidAskKubelet
	case http.StatusServiceUnavailable:
		return saidNotYet
	default:
		return saidNothing
	}
}

// ensureDial has a pod without a talking agent dialled until it takes a
// connection again; then kubelet's word counts as before. It is called with the
// target's lock held.
func (s *Server) ensureDial(t *target, p *pod) {
	if p.stop != nil || s.base.Err() != nil {
		return
	}
	ports := s.targetPorts(t)
	if len(ports) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(s.base)
	p.stop = cancel
	pr := &prober{s: s, t: t, p: p, name: p.object.Name, addr: p.object.Status.PodIP}
	s.work.Go(func() {
		defer cancel()
		pr.dial(ctx, ports[0])
	})
}

// targetPorts are the pod's ports that the target's route leads to.
func (s *Server) targetPorts(t *target) []string {
	var ports []string
	for _, e := range *s.ports.Load() {
		if e.route == t.route {
			ports = append(ports, e.targetPort)
		}
	}
	return ports
}

func (pr *prober) dial(ctx context.Context, port string) {
	dial := patiently((&net.Dialer{}).DialContext)
	begun := time.Now()
	pr.begun = begun
	for ctx.Err() == nil {
		pr.asked++
		conn, err := dial(ctx, "tcp", net.JoinHostPort(pr.addr, port))
		if err == nil {
			conn.Close()
			pr.finish(ctx, func() { pr.s.settlePod(pr.t, pr.p, int(pr.t.spec.Load().AgentPort)) })
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(activator.ProbeDelay(time.Since(begun), true)):
		}
	}
}
