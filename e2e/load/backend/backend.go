// Package backend is the server that the load is for: the smallest one that answers
// all that the client sends. It stands for a model server that takes no time.
package backend

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rawserve/rawserve/e2e/load"
)

// eventEvery is the pause between two events, about that between two tokens.
const eventEvery = 10 * time.Millisecond

// maxBody is the longest body that is read.
const maxBody = 64 << 20

// Server answers over HTTP/1.1 and HTTP/2 without TLS.
func Server() *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{Handler: http.HandlerFunc(serve), Protocols: &protocols, ReadHeaderTimeout: time.Minute}
}

func serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
		unary(w, r)
	case r.URL.Path == load.EventsPath:
		events(w, r)
	case r.Header.Get("K-Network-Probe") != "":
		// Knative's activator asks each pod for its queue-proxy.
		_, _ = io.WriteString(w, r.Header.Get("K-Network-Probe"))
	default:
		n, err := count(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, load.Answer(n))
	}
}

var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// count reads to the end and returns how many bytes there were.
func count(body io.Reader) (int, error) {
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	n := 0
	for n <= maxBody {
		m, err := body.Read(buf[:])
		n += m
		if err == io.EOF { //nolint:errorlint // a reader's own word
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("reading the body: %w", err)
		}
	}
	return n, fmt.Errorf("the body is longer than %d bytes", maxBody)
}

// framed is the header of a message of gRPC: not compressed, and its length.
const framed = 5

// unary answers a call of gRPC. It takes no library for that: what a hop has to do is
// the same, and the machine is shared with it.
func unary(w http.ResponseWriter, r *http.Request) {
	n, err := count(r.Body)
	if err != nil || n < framed {
		http.Error(w, fmt.Sprintf("%d bytes of a message: %v", n, err), http.StatusBadRequest)
		return
	}
	answer := load.Answer(n - framed)
	h := w.Header()
	h["Content-Type"] = []string{"application/grpc"}
	message := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(answer)))
	_, _ = w.Write(append(message, answer...))
	h[http.TrailerPrefix+"Grpc-Status"] = []string{"0"}
}

// events sends events with the time of their sending until the client goes.
func events(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(eventEvery)
	defer tick.Stop()
	var line []byte
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
		line = append(line[:0], "data: "...)
		line = strconv.AppendInt(line, time.Now().UnixNano(), 10)
		line = append(line, "\n\n"...)
		if _, err := w.Write(line); err != nil {
			return
		}
		if err := rc.Flush(); err != nil {
			return
		}
	}
}
