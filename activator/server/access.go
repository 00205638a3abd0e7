package server

import (
	"context"
	"encoding/hex"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/rawserve/rawserve/activator"
	"github.com/rawserve/rawserve/internal/answer"
)

const (
	// accessQueue is how many records may wait to be written. A container's output is
	// a pipe whose reader may stall, and no request is to stall with it.
	accessQueue = 1024
	// accessBurst is for how many seconds a rate may be used at once.
	accessBurst = 5
	// pathLogged and methodLogged are how much of a path and a method is logged.
	pathLogged   = 256
	methodLogged = 16
	// routeErrors is the part of the errors' rate that one route may use.
	routeErrors = 0.2
)

// accessLog writes one record for some requests: a sample of all, and of those that
// failed as many as its rate allows. It never logs what a client or a model may have
// put a secret into: no header, no body, nothing behind the path. A nil accessLog
// logs nothing.
type accessLog struct {
	config  AccessLogConfig
	handler slog.Handler
	sampled *rate.Limiter
	errors  *rate.Limiter
	queue   chan slog.Record

	written    atomic.Int64
	suppressed atomic.Int64 // wanted, and beyond the rate
	dropped    atomic.Int64 // beyond accessQueue
}

func newAccessLog(config AccessLogConfig, log *slog.Logger) *accessLog {
	if config.ErrorsPerSecond <= 0 && (config.SampleRatio <= 0 || config.MaxPerSecond <= 0) {
		return nil
	}
	return &accessLog{
		config: config, handler: log.Handler(), queue: make(chan slog.Record, accessQueue),
		sampled: perSecond(config.MaxPerSecond), errors: perSecond(config.ErrorsPerSecond),
	}
}

// perSecond is a limiter of that many a second, and of some seconds' at once.
func perSecond(n float64) *rate.Limiter {
	burst := 0
	if n > 0 {
		burst = max(1, int(n*accessBurst))
	}
	return rate.NewLimiter(rate.Limit(n), burst)
}

// run writes what comes until ctx is done, and then what is there.
func (l *accessLog) run(ctx context.Context) {
	for {
		select {
		case r := <-l.queue:
			l.write(r)
		case <-ctx.Done():
			for {
				select {
				case r := <-l.queue:
					l.write(r)
				default:
					return
				}
			}
		}
	}
}

func (l *accessLog) write(r slog.Record) {
	// Without a context: what is written says itself which request it was.
	_ = l.handler.Handle(context.Background(), r)
	l.written.Add(1)
}

// failed reports whether a request is worth a record because of how it ended. A
// client that hangs up is no failure of ours, and neither is one that cannot write HTTP.
func failed(code int, reason answer.Reason) bool {
	return code >= http.StatusInternalServerError || (reason != "" && reason != answer.BadRequest)
}

// wants decides whether a request of the route is logged, and at which level.
func (l *accessLog) wants(rt *route, code int, reason answer.Reason) (slog.Level, bool) {
	level := slog.LevelInfo
	wanted := false
	switch {
	case l.config.ErrorsPerSecond > 0 && failed(code, reason):
		level, wanted = slog.LevelWarn, true
		if rt.limits.errors.Allow() && l.errors.Allow() {
			return level, l.handler.Enabled(context.Background(), level)
		}
	case l.config.SampleRatio > 0 && rand.Float64() < l.config.SampleRatio: //nolint:gosec // a sample needs no secrecy
		wanted = true
		if l.sampled.Allow() {
			return level, l.handler.Enabled(context.Background(), level)
		}
	}
	if wanted {
		l.suppressed.Add(1)
	}
	return level, false
}

// put hands a record to the writer, or drops it.
func (l *accessLog) put(r slog.Record) {
	select {
	case l.queue <- r:
	default:
		l.dropped.Add(1)
	}
}

// note logs a request that has ended, if it is to be.
func (l *accessLog) note(c *call, code int, took time.Duration) {
	if l == nil {
		return
	}
	reason := c.reason()
	level, ok := l.wants(c.route, c.meaning(code), reason)
	if !ok {
		return
	}
	r := record(level, c.route, c.r)
	status := code
	outcome := "done"
	switch code {
	case codeGone:
		status, outcome = 0, "gone"
	case codeCut:
		status, outcome = 0, "cut"
	}
	if c.target != nil {
		r.AddAttrs(slog.String("revision", c.target.revision))
	}
	r.AddAttrs(slog.Int("status", status), slog.String("outcome", outcome))
	if g, ok := c.grpcStatus(); ok {
		r.AddAttrs(slog.Int("grpcStatus", g))
	}
	if reason != "" {
		r.AddAttrs(slog.String("reason", string(reason)))
	}
	if c.seen.attempts > 0 {
		r.AddAttrs(slog.String("pod", c.seen.pod), slog.Int("attempts", c.seen.attempts))
	}
	r.AddAttrs(slog.Duration("queue", c.seen.queued))
	if at := c.headerAt(); !at.IsZero() {
		r.AddAttrs(slog.Duration("firstByte", at.Sub(c.arrived)))
	}
	r.AddAttrs(slog.Duration("took", took))
	if n := c.r.ContentLength; n >= 0 {
		r.AddAttrs(slog.Int64("requestBytes", n))
	}
	if text := c.w.Header()["Content-Length"]; len(text) == 1 {
		if n, err := strconv.ParseInt(text[0], 10, 64); err == nil {
			r.AddAttrs(slog.Int64("responseBytes", n))
		}
	}
	if id := c.traceID(); id != "" {
		r.AddAttrs(slog.String("trace", id))
	}
	l.put(r)
}

// noteTurnedAway logs a request that there was no room for.
func (l *accessLog) noteTurnedAway(rt *route, r *http.Request, a *answer.Answer) {
	if l == nil {
		return
	}
	level, ok := l.wants(rt, a.Status(), a.Reason)
	if !ok {
		return
	}
	rec := record(level, rt, r)
	rec.AddAttrs(slog.Int("status", a.Status()), slog.String("outcome", "done"), slog.String("reason", string(a.Reason)))
	l.put(rec)
}

// record is what is said of every request.
func record(level slog.Level, rt *route, r *http.Request) slog.Record {
	client := r.RemoteAddr
	if host, _, err := net.SplitHostPort(client); err == nil {
		client = host
	}
	rec := slog.NewRecord(time.Now(), level, "request", 0)
	rec.AddAttrs(
		slog.String("namespace", rt.key.Namespace), slog.String("route", rt.key.Name),
		slog.String("method", first(methodLogged, r.Method)), slog.String("path", first(pathLogged, r.URL.Path)),
		slog.String("protocol", r.Proto), slog.String("client", client),
	)
	return rec
}

// first is the beginning of a text, at most n bytes of it.
func first(n int, s string) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}

// reason is that of the answer that the client got from us: the activator's own, or
// the one of the agent behind it.
func (c *call) reason() answer.Reason {
	if c.seen.reason != "" {
		return c.seen.reason
	}
	if v := c.w.Header()[answer.Header]; len(v) == 1 {
		return answer.Reason(v[0])
	}
	return ""
}

// traceID is that of the trace which the request belongs to, empty without one.
func (c *call) traceID() string {
	if id := c.seen.trace.id(); id != "" {
		return id
	}
	// Without a span of ours the header is as it came.
	if p, ok := activator.ParseTraceparent(c.r.Header["Traceparent"]); ok {
		return hex.EncodeToString(p.Trace[:])
	}
	return ""
}
