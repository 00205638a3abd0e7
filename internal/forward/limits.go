package forward

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"
)

// limits cancels an attempt that takes too long in one of its parts.
type limits struct {
	ctx       context.Context
	cancel    context.CancelCauseFunc
	firstByte *time.Timer
	total     *time.Timer
	idle      *time.Timer
	pause     time.Duration
	x         *Exchange

	mu sync.Mutex
	// header is true once the response's header is on its way to the client. What
	// expires before may still be answered; after, the connection can only be cut.
	header, late, ended bool
}

func (x *Exchange) limit(ctx context.Context) *limits {
	l := &limits{pause: x.Idle, x: x}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	if x.FirstByte > 0 {
		l.firstByte = time.AfterFunc(x.FirstByte, func() { l.expire(errFirstByte) })
	}
	if !x.Deadline.IsZero() {
		l.total = time.AfterFunc(time.Until(x.Deadline), func() { l.expire(errTotal) })
	}
	return l
}

// expire ends the attempt. Neither a read nor a write of the client's connection
// looks at the context, and the transport waits for the read.
func (l *limits) expire(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return // the connection may be at its next request
	}
	l.late = true
	l.cancel(cause)
	l.x.unblock()
	if l.header {
		l.x.cutClient()
	}
}

// headerIn is called when the response's header has come: the wait for bytes
// begins. An upgraded connection may be silent for as long as it likes.
func (l *limits) headerIn(upgraded bool) {
	if l == nil {
		return
	}
	if l.firstByte != nil {
		l.firstByte.Stop()
	}
	l.mu.Lock()
	if l.header = true; l.late {
		l.x.cutClient()
	}
	l.mu.Unlock()
	if l.pause > 0 && !upgraded {
		l.idle = time.AfterFunc(l.pause, func() { l.expire(errIdle) })
	}
}

// progress is called for bytes that came.
func (l *limits) progress() {
	if l != nil && l.idle != nil {
		l.idle.Reset(l.pause)
	}
}

func (l *limits) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	for _, t := range []*time.Timer{l.firstByte, l.total, l.idle} {
		if t != nil {
			t.Stop()
		}
	}
	l.cancel(nil)
}

// cutClient makes a write to the client fail that is under way.
func (x *Exchange) cutClient() {
	_ = http.NewResponseController(x.w).SetWriteDeadline(time.Unix(1, 0))
}

// isStreamReset recognises the reset of an HTTP/2 stream. The type is not
// exported by net/http.
func isStreamReset(err error) bool {
	s := err.Error()
	return strings.HasPrefix(s, "stream error:") || strings.Contains(s, "client disconnected")
}
