package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Bounds of a ledger: a test sends fewer requests, and names them shortly.
const (
	maxEntries = 1_000_000
	maxID      = 128
)

// requestID is the header that names a request of HTTP. In gRPC it is the message's id.
const requestID = "X-Request-Id"

// Entries is what a ledger holds.
type Entries struct {
	// Executed counts executions, Distinct the requests that they were of.
	Executed int64 `json:"executed"`
	Distinct int64 `json:"distinct"`
	// Repeated has the requests that were executed more than once, with the count.
	Repeated map[string]int64 `json:"repeated"`
}

// ledger counts executions by request. It outlives the servers that execute: who
// goes to zero takes its own counts with it.
type ledger struct {
	mu     sync.Mutex
	counts map[string]int64
	sum    int64
}

// enter counts one execution, and is false when the ledger is full.
func (l *ledger) enter(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = map[string]int64{}
	}
	if _, known := l.counts[id]; !known && len(l.counts) >= maxEntries {
		return false
	}
	l.counts[id]++
	l.sum++
	return true
}

func (l *ledger) entries() Entries {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := Entries{Executed: l.sum, Distinct: int64(len(l.counts)), Repeated: map[string]int64{}}
	for id, n := range l.counts {
		if n > 1 {
			e.Repeated[id] = n
		}
	}
	return e
}

// routeLedger serves the ledger that other test servers write to.
func (s *server) routeLedger(mux *http.ServeMux) {
	mux.HandleFunc("GET /ledger", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.ledger.entries())
	})
	mux.HandleFunc("POST /ledger/{id}", func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		switch {
		case len(id) > maxID:
			writeError(w, http.StatusBadRequest, fmt.Sprintf("an id has at most %d bytes", maxID))
		case !s.ledger.enter(id):
			writeError(w, http.StatusInsufficientStorage, fmt.Sprintf("the ledger holds no more than %d ids", maxEntries))
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})
}

// newBookkeeper is the client with which a server writes to a ledger.
func newBookkeeper() *http.Client {
	return &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute},
	}
}

// record enters an execution in the ledger before anything of it is done, so that
// there is none that the ledger does not know. A request without an id is not entered.
func (s *server) record(ctx context.Context, id string) error {
	if s.set.Ledger == "" || id == "" {
		return nil
	}
	// Also for a client that leaves meanwhile: its request is executed.
	ctx = context.WithoutCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.set.Ledger+"/ledger/"+url.PathEscape(id), nil)
	if err != nil {
		return fmt.Errorf("entering %q in the ledger: %w", id, err)
	}
	resp, err := s.books.Do(req)
	if err != nil {
		return fmt.Errorf("entering %q in the ledger: %w", id, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
		return fmt.Errorf("entering %q in the ledger: %s: %s", id, resp.Status, text)
	}
	return nil
}
