package server

import (
	"cmp"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/activator"
	"github.com/rawserve/rawserve/internal/lifecycle"
)

// debugHost is where /debug listens: the pod's loopback, whatever bindAddress says.
// Only who may create pods/portforward in the activator's namespace gets there, and
// that is for the API server to decide.
const debugHost = "127.0.0.1"

// RouteSummary is one line of /debug/routes.
type RouteSummary struct {
	Namespace string           `json:"namespace"`
	Name      string           `json:"name"`
	Held      int64            `json:"held"`
	Forwarded int64            `json:"forwarded"`
	Targets   []SummaryOfStart `json:"targets"`
}

// SummaryOfStart is what a summary says of one target.
type SummaryOfStart struct {
	Revision string `json:"revision"`
	Ready    int    `json:"readyPods"`
	// Failing is what requests are answered with while the revision cannot start.
	Failing string `json:"failing,omitempty"`
}

// RouteState is all that an activator knows of a route.
type RouteState struct {
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
	Generation int64  `json:"generation"`
	// Deleted: the object is gone, and the ports stay open for a moment.
	Deleted bool `json:"deleted,omitempty"`
	// Ports are the activator's, with the pods' ports that they lead to.
	Ports           map[string]string `json:"ports"`
	Acknowledgement AckState          `json:"acknowledgement"`
	// Activator and Activators are this activator's place among those that divide the
	// pods' capacity, from 1.
	Activator  int           `json:"activator"`
	Activators int           `json:"activators"`
	Timeouts   TimeoutState  `json:"timeouts"`
	Queue      QueueState    `json:"queue"`
	Forwarded  int64         `json:"forwarded"`
	Targets    []TargetState `json:"targets"`
	// Ejections are the last, the latest first.
	Ejections []Ejection `json:"ejections"`
}

// AckState is the word that the activator gives for the route.
type AckState struct {
	Generation int64  `json:"generation"`
	Message    string `json:"message,omitempty"`
	// Written: the route's status says so.
	Written bool `json:"written"`
}

// TimeoutState has the limits in force; "0s" is none.
type TimeoutState struct {
	Queue     string `json:"queue"`
	FirstByte string `json:"firstByte"`
	Idle      string `json:"idle"`
	Total     string `json:"total"`
}

// QueueState is what the route holds.
type QueueState struct {
	Held       int64  `json:"held"`
	OldestWait string `json:"oldestWait"`
	BodyBytes  int64  `json:"bodyBytes"`
}

// TargetState is one revision.
type TargetState struct {
	Revision             string     `json:"revision"`
	Weight               int32      `json:"weight"`
	Deployment           string     `json:"deployment"`
	Stopped              bool       `json:"stopped,omitempty"`
	KeepScale            bool       `json:"keepScale,omitempty"`
	ContainerConcurrency int        `json:"containerConcurrency"`
	Waiting              int        `json:"waiting"`
	Start                StartState `json:"start"`
	Pods                 []PodState `json:"pods"`
}

// StartState is how the revision's starts went and go.
type StartState struct {
	// WaitingSince is set while requests wait for a pod.
	WaitingSince *time.Time `json:"waitingSince,omitempty"`
	// Failing is what requests are answered with now.
	Failing string `json:"failing,omitempty"`
	// RaiseError is why the scale could not be raised at the last try.
	RaiseError string `json:"raiseError,omitempty"`
	// Estimate is how long a start takes, as far as is known.
	Estimate    string       `json:"estimate"`
	LastStart   *LastStart   `json:"lastStart,omitempty"`
	LastFailure *LastFailure `json:"lastFailure,omitempty"`
	LastRaise   *LastRaise   `json:"lastRaise,omitempty"`
}

// LastStart is the last start that brought a pod.
type LastStart struct {
	At   time.Time `json:"at"`
	Took string    `json:"took"`
}

// LastFailure is the last start that was given up.
type LastFailure struct {
	At      time.Time `json:"at"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
}

// LastRaise is the last time that this activator raised the scale from zero.
type LastRaise struct {
	At time.Time `json:"at"`
	To int32     `json:"to"`
}

// PodState is one pod as the activator sees it.
type PodState struct {
	Name    string `json:"name"`
	Address string `json:"address,omitempty"`
	Phase   string `json:"phase"`
	// Takes: it may get requests. Asked: its agent or port is being asked until it may.
	Takes bool `json:"takes"`
	Asked bool `json:"asked,omitempty"`
	// Near: it is preferred, because it is in the activator's zone.
	Near bool `json:"near,omitempty"`
	// Terminating: it was told to stop.
	Terminating bool `json:"terminating,omitempty"`
	Outstanding int  `json:"outstanding"`
	Connecting  int  `json:"connecting,omitempty"`
	// Share is this activator's part of containerConcurrency, Borrowed what it uses beyond.
	Share     int `json:"share,omitempty"`
	Borrowed  int `json:"borrowed,omitempty"`
	Ejections int `json:"ejections,omitempty"`
}

// summaries has one line for each route.
func (s *Server) summaries(now time.Time) []RouteSummary {
	list := *s.routeList.Load()
	out := make([]RouteSummary, 0, len(list))
	for _, rt := range list {
		sum := RouteSummary{
			Namespace: rt.key.Namespace, Name: rt.key.Name,
			Held: rt.waiting.Read(now).InFlight, Forwarded: rt.forwarded.Read(now).InFlight,
		}
		for _, t := range rt.plan.Load().targets {
			ready, _ := t.pool.Load()
			sum.Targets = append(sum.Targets, SummaryOfStart{Revision: t.revision, Ready: ready, Failing: t.failing()})
		}
		out = append(out, sum)
	}
	return out
}

// state is all that is known of a route.
func (s *Server) state(rt *route, now time.Time) RouteState {
	p := rt.plan.Load()
	rt.mu.Lock()
	member := rt.member
	rt.mu.Unlock()
	out := RouteState{
		Namespace: rt.key.Namespace, Name: rt.key.Name, Generation: p.generation, Deleted: rt.deleted.Load(),
		Ports: map[string]string{}, Acknowledgement: s.acks.state(rt.key),
		Activator: member.Index + 1, Activators: member.Count,
		Timeouts: TimeoutState{
			Queue: p.timeouts.queue.String(), FirstByte: p.timeouts.firstByte.String(),
			Idle: p.timeouts.idle.String(), Total: p.timeouts.total.String(),
		},
		Queue:     QueueState{Held: rt.waiting.Read(now).InFlight, OldestWait: "0s", BodyBytes: rt.bytes.Used()},
		Forwarded: rt.forwarded.Read(now).InFlight,
		Ejections: rt.ejections.list(),
	}
	if at := rt.holdings.oldest(); !at.IsZero() {
		out.Queue.OldestWait = now.Sub(at).Round(time.Millisecond).String()
	}
	for port, e := range *s.ports.Load() {
		if e.route == rt {
			out.Ports[strconv.Itoa(port)] = e.targetPort
		}
	}
	for i, t := range p.targets {
		out.Targets = append(out.Targets, t.state(p.weights[i]))
	}
	return out
}

func (t *target) failing() string {
	if a := t.answer.Load(); a != nil {
		return a.Message
	}
	return ""
}

func (t *target) state(weight int32) TargetState {
	look := t.pool.Look()
	spec := t.spec.Load()
	out := TargetState{
		Revision: t.revision, Weight: weight, Deployment: spec.DeploymentName, Stopped: spec.Stopped, KeepScale: spec.KeepScale,
		ContainerConcurrency: look.Limit, Waiting: look.Waiting,
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	out.Start = t.past.state(t.startup.Estimate())
	out.Start.Failing = t.failing()
	inPool := make(map[string]activator.PodLook, len(look.Pods))
	for _, p := range look.Pods {
		inPool[p.Pod] = p
	}
	out.Pods = make([]PodState, 0, len(t.pods))
	for name, p := range t.pods {
		l := inPool[name]
		out.Pods = append(out.Pods, PodState{
			Name: name, Address: p.object.Status.PodIP, Phase: string(p.object.Status.Phase),
			Takes: l.Ready, Asked: p.stop != nil, Terminating: p.object.DeletionTimestamp != nil,
			Near: l.Near, Outstanding: l.Outstanding, Connecting: l.Connecting, Share: l.Share, Borrowed: l.Extra, Ejections: p.ejections,
		})
	}
	slices.SortFunc(out.Pods, func(a, b PodState) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (p *past) state(estimate time.Duration) StartState {
	out := StartState{Estimate: estimate.Round(time.Millisecond).String(), RaiseError: p.raiseError}
	if !p.waiting.IsZero() {
		out.WaitingSince = &p.waiting
	}
	if !p.started.at.IsZero() {
		out.LastStart = &LastStart{At: p.started.at, Took: p.started.took.Round(time.Millisecond).String()}
	}
	if !p.failed.at.IsZero() {
		out.LastFailure = &LastFailure{At: p.failed.at, Reason: p.failed.reason, Message: p.failed.message}
	}
	if !p.raised.at.IsZero() {
		out.LastRaise = &LastRaise{At: p.raised.at, To: p.raised.to}
	}
	return out
}

// DebugHandler serves /debug.
func (s *Server) DebugHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/routes", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.summaries(time.Now())) })
	mux.HandleFunc("GET /debug/routes/{namespace}/{name}", func(w http.ResponseWriter, r *http.Request) {
		key := types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
		rt := s.find(key)
		if rt == nil {
			http.Error(w, "this activator serves no route "+key.String()+"; /debug/routes lists those that it serves", http.StatusNotFound)
			return
		}
		writeJSON(w, s.state(rt, time.Now()))
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return localOnly(mux)
}

// localOnly refuses requests that name another host. A page that a browser has open
// on the machine of somebody who forwards the port could otherwise read what is
// served, under a name of its own that it lets point at 127.0.0.1.
func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if host != "localhost" && host != "127.0.0.1" && host != "[::1]" && host != "::1" {
			http.Error(w, "ask for localhost: /debug is reached by kubectl port-forward", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v)
}

// Debug is the part of the process that serves /debug. Where it cannot listen it
// says so and leaves the rest alone: nobody's requests end because of it.
func (s *Server) Debug() lifecycle.Unit {
	server := lifecycle.HTTP{
		Name: "debug server",
		Addr: net.JoinHostPort(debugHost, strconv.Itoa(s.config.Debug.Port)),
		Server: &http.Server{
			Handler:           s.DebugHandler(),
			ReadHeaderTimeout: 10 * time.Second,
			// A profile takes as long as it is asked for.
			WriteTimeout:   5 * time.Minute,
			IdleTimeout:    2 * time.Minute,
			MaxHeaderBytes: 64 << 10,
		},
		Grace: time.Second,
	}
	return lifecycle.Unit{Name: server.Name, Run: func(ctx context.Context) error {
		if s.config.Debug.Port != 0 {
			if err := server.Run(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("/debug is not served", "error", err)
			}
		}
		<-ctx.Done()
		return nil
	}}
}
