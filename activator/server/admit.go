package server

import (
	"net/http"
	"time"

	"github.com/rawserve/rawserve/internal/answer"
	"github.com/rawserve/rawserve/internal/budget"
	"github.com/rawserve/rawserve/internal/clientconn"
)

const (
	// requestCost is the memory that a request takes while it is inside, its header
	// and the held part of its body aside. Measured: 25 KiB while it is held, 47
	// forwarded, 78 while its response is streamed, the connections' buffers and
	// the goroutines' stacks included. A request that is held today is streamed
	// tomorrow, and nobody can refuse it in between, so the last number counts.
	requestCost = 80 << 10
	// fieldCost is what a field of a header takes besides its text: its places in
	// a map and a slice. Without it 64 KiB of one-letter fields would count as such.
	fieldCost = 100
)

// refusedBy names the limit that a request or a connection was refused for.
type refusedBy string

const (
	refusedByConnections  refusedBy = "connections"
	refusedByRequests     refusedBy = "requests"
	refusedByMemory       refusedBy = "memory"
	refusedByHeldRequests refusedBy = "held_requests"
	refusedByHeldBytes    refusedBy = "held_bytes"
)

// allRefusedBy has every value, so that a rate can be taken from the first on.
var allRefusedBy = []refusedBy{refusedByConnections, refusedByRequests, refusedByMemory, refusedByHeldRequests, refusedByHeldBytes}

var overloaded = &answer.Answer{
	Reason:     answer.Overloaded,
	Message:    "This activator has taken on as many requests as it can. Try again; another one may have room.",
	RetryAfter: time.Second,
}

var overShare = &answer.Answer{
	Reason:     answer.ShareExceeded,
	Message:    "This client, this model or its namespace has as many requests here as it can have while others want some. Send fewer, or try again.",
	RetryAfter: time.Second,
}

// ServeHTTP serves a request of any route, for which the port stands that it came in
// on, if there is room for it, in number and in memory.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn := clientconn.From(r.Context())
	if conn == nil {
		panic(http.ErrAbortHandler)
	}
	entry, ok := (*s.ports.Load())[conn.Port]
	if !ok {
		// The connection is older than the end of its route.
		panic(http.ErrAbortHandler)
	}
	rt := entry.route
	rt.arrivals.Add(1)
	inside, memory := rt.inside, rt.memory
	if from := clientFrom(r.Context()); from != nil {
		inside, memory = from.inside, from.memory
	}
	if why := inside.Try(1); why != budget.Granted {
		s.turnAway(w, r, rt, why, refusedByRequests)
		return
	}
	defer inside.Give(1)
	cost := requestCost + headerSize(r)
	if why := memory.Try(cost); why != budget.Granted {
		s.turnAway(w, r, rt, why, refusedByMemory)
		return
	}
	defer memory.Give(cost)
	s.serve(w, r, conn, entry)
}

// turnAway answers a request that there is no room for. Its connection ends, so
// that the next try may come to an activator that has some.
func (s *Server) turnAway(w http.ResponseWriter, r *http.Request, rt *route, why budget.Refusal, limit refusedBy) {
	s.metrics.refuse(limit)
	a := overloaded
	if why == budget.OverShare {
		a = overShare
	}
	rt.counters.early.count(a.Status())
	rt.counters.rejected.Add(a.Reason)
	s.access.noteTurnedAway(rt, r, a)
	w.Header().Set("Connection", "close")
	a.Write(w, r)
}

// headerSize is the memory that a request's header takes, or a little more.
func headerSize(r *http.Request) int64 {
	n := len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		n += len(name)
		for _, v := range values {
			n += len(v) + fieldCost
		}
	}
	return int64(n)
}
