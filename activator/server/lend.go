package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/rawserve/rawserve/activator"
)

const (
	// lendAsk is how many pods are asked at a time, besides those that lend already.
	lendAsk = 4
	// The pause between two rounds doubles, while they bring nothing, from the first
	// to the last of these. An activator whose own part is used up, as that of all
	// others is, asks 20 agents a second.
	firstLendPause = 10 * time.Millisecond
	lastLendPause  = 200 * time.Millisecond
	// lendWait is how long an agent may take.
	lendWait = 300 * time.Millisecond
)

// borrow has agents asked for room that other activators leave, if requests wait
// although pods are ready, and the pods' capacity is divided.
func (s *Server) borrow(t *target) {
	t.mu.Lock()
	s.borrowLocked(t)
	t.mu.Unlock()
}

func (s *Server) borrowLocked(t *target) {
	if t.borrowing || t.spec.Load().AgentPort == 0 || !t.pool.Divided() || s.base.Err() != nil {
		// Without an agent nothing but the division keeps the limit.
		return
	}
	if waiting, ready := t.pool.Waiting(); waiting == 0 || ready == 0 {
		return
	}
	t.borrowing = true
	s.work.Go(func() { s.runBorrower(t) })
}

// runBorrower asks until nobody waits and nothing borrowed is used any more.
func (s *Server) runBorrower(t *target) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	pause := firstLendPause
	for {
		select {
		case <-s.base.Done():
			return
		case <-timer.C:
		}
		t.mu.Lock()
		loans := t.pool.Borrowable(lendAsk)
		// Under the lock that borrow takes, so that one who begins to wait now is
		// either seen here or starts anew.
		t.borrowing = len(loans) > 0
		t.mu.Unlock()
		if len(loans) == 0 {
			return
		}
		if s.askForRoom(t, loans) {
			pause = firstLendPause
		} else {
			pause = min(2*pause, lastLendPause)
		}
		timer.Reset(pause)
	}
}

// askForRoom asks the pods' agents and reports whether one of them has any.
func (s *Server) askForRoom(t *target, loans []activator.Loan) bool {
	port := strconv.Itoa(int(t.spec.Load().AgentPort))
	more := make([]bool, len(loans))
	var asking sync.WaitGroup
	for i, l := range loans {
		asking.Go(func() {
			inside, waiting, err := s.askLoad(net.JoinHostPort(l.Addr, port))
			if err != nil {
				t.pool.GiveBack(l.Pod)
				return
			}
			more[i] = t.pool.Borrow(l.Pod, inside, waiting)
		})
	}
	asking.Wait()
	for _, m := range more {
		if m {
			return true
		}
	}
	return false
}

// askLoad asks an agent how many requests are in its pod, and how many of them wait.
func (s *Server) askLoad(addr string) (inside, waiting int, err error) {
	ctx, cancel := context.WithTimeout(s.base, lendWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/stats", nil)
	if err != nil {
		return 0, 0, fmt.Errorf("asking for the load: %w", err)
	}
	res, err := s.probes.patient.Do(req)
	if err != nil {
		return 0, 0, fmt.Errorf("asking for the load: %w", err)
	}
	defer res.Body.Close()
	var stats struct {
		InFlight int `json:"inflight"`
		Queued   int `json:"queued"`
	}
	body := io.LimitReader(res.Body, 4<<10)
	if res.StatusCode != http.StatusOK {
		return 0, 0, fmt.Errorf("asking for the load: status %d", res.StatusCode)
	}
	if err := json.NewDecoder(body).Decode(&stats); err != nil {
		return 0, 0, fmt.Errorf("decoding the load: %w", err)
	}
	_, _ = io.Copy(io.Discard, body)
	return stats.InFlight, stats.Queued, nil
}
