// Package answer is how a process of ours on the data path answers a request itself,
// in a way that people, programs and gRPC clients can tell from the model's answers.
package answer

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Reason says in one word why a request is not answered by the model. It is the
// value of the header Rawserve-Reason.
type Reason string

// Reasons of our own answers.
const (
	// QueueFull: too much is held already.
	QueueFull Reason = "QueueFull"
	// ShareExceeded: there is room, or was, and it is left to others, for this client or
	// namespace has taken more than its share.
	ShareExceeded Reason = "ShareExceeded"
	// DeadlineExceeded: the time is over that the client itself has given.
	DeadlineExceeded Reason = "DeadlineExceeded"
	// QueueTimeout: the request was held for as long as it may be.
	QueueTimeout Reason = "QueueTimeout"
	// StartFailed: no pod comes up.
	StartFailed Reason = "StartFailed"
	// Stopped: the user stopped the component.
	Stopped Reason = "Stopped"
	// ServerDown: nothing listens where the model should be. Nobody has seen any of
	// the request, so it may be sent elsewhere, whatever it asks for.
	ServerDown Reason = "ServerDown"
	// UpstreamUnreachable: the connection to the pod failed after the request was sent.
	// It may have been executed.
	UpstreamUnreachable Reason = "UpstreamUnreachable"
	// UpstreamTimeout: the pod sent no response in the time that the route allows.
	UpstreamTimeout Reason = "UpstreamTimeout"
	// Draining: the process is shutting down.
	Draining Reason = "Draining"
	// Overloaded: the process has taken on as much as it can, for whomever.
	Overloaded Reason = "Overloaded"
	// BadRequest: the request is malformed.
	BadRequest Reason = "BadRequest"
)

// Header names the header that carries the Reason.
const Header = "Rawserve-Reason"

// replies has the status of each reason, for HTTP and for gRPC.
var replies = map[Reason]struct {
	status int
	grpc   int
}{
	QueueFull:           {http.StatusServiceUnavailable, grpcUnavailable},
	ShareExceeded:       {http.StatusTooManyRequests, grpcResourceExhausted},
	DeadlineExceeded:    {http.StatusGatewayTimeout, grpcDeadlineExceeded},
	QueueTimeout:        {http.StatusGatewayTimeout, grpcDeadlineExceeded},
	StartFailed:         {http.StatusServiceUnavailable, grpcUnavailable},
	Stopped:             {http.StatusServiceUnavailable, grpcUnavailable},
	UpstreamUnreachable: {http.StatusBadGateway, grpcUnavailable},
	ServerDown:          {http.StatusServiceUnavailable, grpcUnavailable},
	UpstreamTimeout:     {http.StatusGatewayTimeout, grpcDeadlineExceeded},
	Draining:            {http.StatusServiceUnavailable, grpcUnavailable},
	Overloaded:          {http.StatusServiceUnavailable, grpcUnavailable},
	BadRequest:          {http.StatusBadRequest, grpcInternal},
}

// Status codes of gRPC.
const (
	grpcDeadlineExceeded  = 4
	grpcResourceExhausted = 8
	grpcInternal          = 13
	grpcUnavailable       = 14
)

// Answer is our own answer to a request.
type Answer struct {
	// Reason in one word.
	Reason Reason
	// Message is a sentence for the caller.
	Message string
	// RetryAfter is when to try again; 0 says nothing about it.
	RetryAfter time.Duration
}

// TooLate is for a client that has given up by its own words.
var TooLate = &Answer{Reason: DeadlineExceeded, Message: "The time is over that the request itself gives for its answer."}

// Status is the HTTP status of the answer.
func (a *Answer) Status() int {
	if r, ok := replies[a.Reason]; ok {
		return r.status
	}
	return http.StatusInternalServerError
}

// Write sends the answer: to a gRPC client as a response of trailers only, to
// others as JSON.
func (a *Answer) Write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set(Header, string(a.Reason))
	if a.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(a.RetryAfter.Seconds())))))
	}
	if IsGRPC(r) {
		h.Set("Content-Type", "application/grpc")
		h.Set("Grpc-Status", strconv.Itoa(replies[a.Reason].grpc))
		h.Set("Grpc-Message", grpcMessage(a.Message))
		w.WriteHeader(http.StatusOK)
		return
	}
	body, err := json.Marshal(map[string]string{"error": a.Message})
	if err != nil {
		body = []byte(`{"error":"unprintable"}`)
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(a.Status())
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(body, '\n'))
	}
}

// IsGRPC reports whether the client speaks gRPC.
func IsGRPC(r *http.Request) bool {
	return r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// grpcMessage encodes a message as gRPC wants it: printable ASCII, the rest and
// the percent sign as %XX.
func grpcMessage(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
