package forward

import (
	"context"
	"strings"
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
}

func (x *Exchange) limit(ctx context.Context) *limits {
	l := &limits{pause: x.Idle}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	if x.FirstByte > 0 {
		l.firstByte = time.AfterFunc(x.FirstByte, func() { l.cancel(errFirstByte) })
	}
	if !x.Deadline.IsZero() {
		l.total = time.AfterFunc(time.Until(x.Deadline), func() { l.cancel(errTotal) })
	}
	return l
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
	if l.pause > 0 && !upgraded {
		l.idle = time.AfterFunc(l.pause, func() { l.cancel(errIdle) })
	}
}

// progress is called for bytes that came.
func (l *limits) progress() {
	if l != nil && l.idle != nil {
		l.idle.Reset(l.pause)
	}
}

func (l *limits) end() {
	for _, t := range []*time.Timer{l.firstByte, l.total, l.idle} {
		if t != nil {
			t.Stop()
		}
	}
	l.cancel(nil)
}

// isStreamReset recognises the reset of an HTTP/2 stream. The type is not
// exported by net/http.
func isStreamReset(err error) bool {
	s := err.Error()
	return strings.HasPrefix(s, "stream error:") || strings.Contains(s, "client disconnected")
}
