package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxEvents bounds a stream, and with it what one request can ask for.
const maxEvents = 1_000_000

// stream sends n events, by default 5, with interval between them, by default 100 ms,
// as a text generation does: as server-sent events, or with format=chunk as plain
// lines. With stamp=true each says when it was sent, in nanoseconds since 1970. It is one
// execution. A failure on demand breaks the stream after the events.
func (s *server) stream(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	n, err := strconv.Atoi(orDefault(q.Get("n"), "5"))
	if err != nil || n < 0 || n > maxEvents {
		writeError(w, http.StatusBadRequest, fmt.Sprintf("n must be a number from 0 to %d, not %q", maxEvents, q.Get("n")))
		return
	}
	interval, err := time.ParseDuration(orDefault(q.Get("interval"), "100ms"))
	if err != nil || interval < 0 {
		writeError(w, http.StatusBadRequest, fmt.Sprintf("interval must be a duration such as 50ms, not %q", q.Get("interval")))
		return
	}
	format, content := "data: %s\n\n", "text/event-stream"
	if q.Get("format") == "chunk" {
		format, content = "%s\n", "text/plain"
	}
	event := strconv.Itoa
	if q.Get("stamp") == "true" {
		event = func(i int) string { return fmt.Sprintf("%d %d", i, time.Now().UnixNano()) }
	}
	err = s.execute(r.Context(), r.URL.Path, 0, func() error {
		read, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody))
		s.count.body(read)
		if err != nil {
			return errLeft
		}
		w.Header().Set("Content-Type", content)
		w.Header().Set("Cache-Control", "no-cache")
		return sendEvents(w, r, n, interval, func(i int) string { return fmt.Sprintf(format, event(i)) })
	})
	if err != nil {
		panic(http.ErrAbortHandler) // the client sees a stream that breaks
	}
}

func sendEvents(w http.ResponseWriter, r *http.Request, n int, interval time.Duration, event func(int) string) error {
	control := http.NewResponseController(w)
	for i := range n {
		if i > 0 && pause(r.Context(), interval) != nil {
			return errLeft
		}
		if _, err := io.WriteString(w, event(i)); err != nil {
			return errLeft
		}
		if err := control.Flush(); err != nil {
			return errLeft
		}
	}
	return nil
}

func orDefault(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

// echo tells what arrived, whatever the method: how proxies treat headers and bodies.
func (s *server) echo(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	writeJSON(w, http.StatusOK, echoed{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Proto: r.Proto, Host: r.Host,
		RemoteAddr: r.RemoteAddr, Headers: r.Header, BodyBytes: n,
	})
}

// echoed is the answer of /echo.
type echoed struct {
	Method     string      `json:"method"`
	Path       string      `json:"path"`
	Query      string      `json:"query"`
	Proto      string      `json:"proto"`
	Host       string      `json:"host"`
	RemoteAddr string      `json:"remoteAddr"`
	Headers    http.Header `json:"headers"`
	BodyBytes  int64       `json:"bodyBytes"`
}
