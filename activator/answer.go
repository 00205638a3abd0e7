package activator

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Reason says in one word why an activator answers a request itself. It is the
// value of the header Rawserve-Reason.
type Reason string

// Reasons of the activator's own answers.
const (
	// ReasonQueueFull: too much is held already.
	ReasonQueueFull Reason = "QueueFull"
	// ReasonQueueTimeout: the request was held for as long as it may be.
	ReasonQueueTimeout Reason = "QueueTimeout"
	// ReasonStartFailed: no pod comes up.
	ReasonStartFailed Reason = "StartFailed"
	// ReasonStopped: the user stopped the component.
	ReasonStopped Reason = "Stopped"
	// ReasonUpstreamUnreachable: the connection to the pod failed after the request was sent.
	ReasonUpstreamUnreachable Reason = "UpstreamUnreachable"
	// ReasonUpstreamTimeout: the pod sent no response in the time that the route allows.
	ReasonUpstreamTimeout Reason = "UpstreamTimeout"
	// ReasonDraining: the activator is shutting down.
	ReasonDraining Reason = "Draining"
	// ReasonBadRequest: the request is malformed.
	ReasonBadRequest Reason = "BadRequest"
)

// ReasonHeader names the header that carries the Reason.
const ReasonHeader = "Rawserve-Reason"

// replies has the status of each reason, for HTTP and for gRPC.
var replies = map[Reason]struct {
	status int
	grpc   int
}{
	ReasonQueueFull:           {http.StatusServiceUnavailable, grpcUnavailable},
	ReasonQueueTimeout:        {http.StatusGatewayTimeout, grpcDeadlineExceeded},
	ReasonStartFailed:         {http.StatusServiceUnavailable, grpcUnavailable},
	ReasonStopped:             {http.StatusServiceUnavailable, grpcUnavailable},
	ReasonUpstreamUnreachable: {http.StatusBadGateway, grpcUnavailable},
	ReasonUpstreamTimeout:     {http.StatusGatewayTimeout, grpcDeadlineExceeded},
	ReasonDraining:            {http.StatusServiceUnavailable, grpcUnavailable},
	ReasonBadRequest:          {http.StatusBadRequest, grpcInternal},
}

// Status codes of gRPC.
const (
	grpcDeadlineExceeded = 4
	grpcInternal         = 13
	grpcUnavailable      = 14
)

// Answer is an activator's own answer to a request.
type Answer struct {
	// Reason in one word.
	Reason Reason
	// Message is a sentence for the caller.
	Message string
	// RetryAfter is when to try again; 0 says nothing about it.
	RetryAfter time.Duration
}

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
	h.Set(ReasonHeader, string(a.Reason))
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
