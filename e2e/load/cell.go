// Package load says what the load suite measures and what its numbers mean: the
// matrix of cells, medians over rounds, ratios to Go's own proxy, and whether the
// budgets are met. It starts nothing and sends nothing; packages stage and client do.
package load

import (
	"fmt"
	"regexp"
	"slices"
)

// Hop is what a request passes on its way to the server.
type Hop string

const (
	// Direct: nothing. What others add is counted from here.
	Direct Hop = "direct"
	// GoProxy is the standard library's reverse proxy, with a large idle pool,
	// pooled buffers and immediate flushing: the measure of all others.
	GoProxy Hop = "Go's proxy"
	// Activator is rawserve's activator.
	Activator Hop = "activator"
	// Agent is rawserve's agent.
	Agent Hop = "agent"
	// Both is the activator and the agent in a row, as in a cluster.
	Both Hop = "activator + agent"
	// KnativeQueue is Knative's queue-proxy.
	KnativeQueue Hop = "Knative queue-proxy"
	// KnativeActivator is Knative's activator.
	KnativeActivator Hop = "Knative activator"
	// KnativeBoth is Knative's activator and queue-proxy in a row.
	KnativeBoth Hop = "Knative both"
)

// Hops has all of them, in the order in which they are measured and printed.
var Hops = []Hop{Direct, GoProxy, Activator, Agent, Both, KnativeQueue, KnativeActivator, KnativeBoth}

// Protocol is what the client speaks.
type Protocol string

const (
	// HTTP1: HTTP/1.1.
	HTTP1 Protocol = "http"
	// GRPC: unary calls over HTTP/2 without TLS.
	GRPC Protocol = "grpc"
	// Events: server-sent events, of which the delay of each is measured.
	Events Protocol = "events"
)

// Cell is one entry of the matrix.
type Cell struct {
	// Protocol is what the client speaks.
	Protocol Protocol `json:"protocol"`
	// Body is the length of the request's body; 0 is a GET, where there is one.
	Body int `json:"body"`
	// Clients is how many requests are under way at a time.
	Clients int `json:"clients"`
	// KeepAlive: connections are used again. Without it each request has its own.
	KeepAlive bool `json:"keepAlive"`
}

// Connections is how many connections a gRPC cell uses: a client library shares one
// among many calls, and several processes have one each.
func (c Cell) Connections() int { return min(c.Clients, 8) }

// Group is what a cell is printed under, together with those that differ from it
// only in the number of clients.
func (c Cell) Group() string {
	switch c.Protocol {
	case Events:
		return "server-sent events"
	case GRPC:
		return "gRPC unary, " + size(c.Body)
	}
	kept := "keep-alive"
	if !c.KeepAlive {
		kept = "a connection each"
	}
	if c.Body == 0 {
		return "HTTP/1.1 GET, " + kept
	}
	return fmt.Sprintf("HTTP/1.1 POST %s, %s", size(c.Body), kept)
}

// Name is short and has no spaces, so that cells can be chosen by it.
func (c Cell) Name() string {
	switch {
	case c.Protocol == Events:
		return "events"
	case c.Protocol == GRPC:
		return fmt.Sprintf("grpc-%s-c%d", short(c.Body), c.Clients)
	}
	what := "get"
	if c.Body > 0 {
		what = "post-" + short(c.Body)
	}
	if !c.KeepAlive {
		what += "-close"
	}
	return fmt.Sprintf("%s-c%d", what, c.Clients)
}

func size(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MB", n>>20)
	}
	return fmt.Sprintf("%d KB", n>>10)
}

func short(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%dm", n>>20)
	}
	return fmt.Sprintf("%dk", n>>10)
}

// eventStreams is how many streams of events there are at a time.
const eventStreams = 8

// Matrix has every cell. The small requests come first: what a process has taken for
// long bodies it does not give back at once, and its memory is judged by the small ones.
func Matrix() []Cell {
	var cells []Cell
	for _, body := range []int{0, 1 << 10, 100 << 10, 1 << 20} {
		for _, kept := range []bool{true, false} {
			for _, clients := range []int{1, 32, 256} {
				cells = append(cells, Cell{Protocol: HTTP1, Body: body, Clients: clients, KeepAlive: kept})
			}
		}
	}
	for _, clients := range []int{1, 32, 256} {
		cells = append(cells, Cell{Protocol: GRPC, Body: 1 << 10, Clients: clients, KeepAlive: true})
	}
	cells = append(cells, Cell{Protocol: Events, Clients: eventStreams, KeepAlive: true})
	small := func(c Cell) bool { return c.Body <= 1<<10 }
	slices.SortStableFunc(cells, func(a, b Cell) int {
		switch {
		case small(a) == small(b):
			return 0
		case small(a):
			return -1
		}
		return 1
	})
	return cells
}

// Quick has the cells that the budgets are about.
func Quick() []Cell {
	return []Cell{
		{Protocol: HTTP1, Clients: 1, KeepAlive: true},
		{Protocol: HTTP1, Clients: 32, KeepAlive: true},
		{Protocol: HTTP1, Body: 1 << 10, Clients: 1, KeepAlive: true},
		{Protocol: HTTP1, Body: 1 << 10, Clients: 32, KeepAlive: true},
		{Protocol: GRPC, Body: 1 << 10, Clients: 32, KeepAlive: true},
		{Protocol: Events, Clients: eventStreams, KeepAlive: true},
	}
}

// Choose returns the cells whose name the pattern matches.
func Choose(cells []Cell, pattern string) ([]Cell, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("-cells: %w", err)
	}
	var chosen []Cell
	for _, c := range cells {
		if re.MatchString(c.Name()) {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-cells: no cell matches %q: names are like get-c32, post-100k-close-c1, grpc-1k-c256 and events", pattern)
	}
	return chosen, nil
}

// Knative reports whether a hop is made of Knative's parts.
func (h Hop) Knative() bool {
	return h == KnativeQueue || h == KnativeActivator || h == KnativeBoth
}

// ChooseHops returns the hops whose name the pattern matches, and the two that all
// others are compared with.
func ChooseHops(pattern string) ([]Hop, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("-hops: %w", err)
	}
	var chosen []Hop
	for _, h := range Hops {
		if h == Direct || h == GoProxy || re.MatchString(string(h)) {
			chosen = append(chosen, h)
		}
	}
	return chosen, nil
}
