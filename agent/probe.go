package agent

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Probe is how a server's readiness is asked for: the part of Kubernetes' own
// probe that can be done from beside the container. Kubernetes' types are not
// used because they would double the size of the binary.
type Probe struct {
	// HTTPGet, TCPSocket and GRPC: exactly one is set.
	HTTPGet   *HTTPGet   `json:"httpGet"`
	TCPSocket *TCPSocket `json:"tcpSocket"`
	GRPC      *GRPC      `json:"grpc"`
	// Exec cannot be done from another container; it is read to say so.
	Exec json.RawMessage `json:"exec"`

	TimeoutSeconds   int `json:"timeoutSeconds"`
	PeriodSeconds    int `json:"periodSeconds"`
	SuccessThreshold int `json:"successThreshold"`
	FailureThreshold int `json:"failureThreshold"`
}

// HTTPGet asks by a request; any status from 200 to 399 is a yes.
type HTTPGet struct {
	Path        string       `json:"path"`
	Port        Port         `json:"port"`
	Scheme      string       `json:"scheme"`
	HTTPHeaders []HTTPHeader `json:"httpHeaders"`
}

// HTTPHeader is a header of the request.
type HTTPHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// TCPSocket asks by a connection.
type TCPSocket struct {
	Port Port `json:"port"`
}

// GRPC asks gRPC's health service.
type GRPC struct {
	Port    Port   `json:"port"`
	Service string `json:"service"`
}

// Port is a port number. Names are refused, because only the pod's
// specification knows what they stand for.
type Port int

// UnmarshalJSON reads a number.
func (p *Port) UnmarshalJSON(data []byte) error {
	var n int
	if err := json.Unmarshal(data, &n); err != nil {
		return fmt.Errorf("port: %s is not a number; write the number of the container's port", data)
	}
	if n < 1 || n > 65535 {
		return fmt.Errorf("port: %d is outside 1-65535", n)
	}
	*p = Port(n)
	return nil
}

// ParseProbe reads a probe from the JSON of Kubernetes' Probe. Without text, and
// for a probe by command, it returns nil: only kubelet can ask.
func ParseProbe(text string) (*Probe, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var p Probe
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, fmt.Errorf("decoding the readiness probe: %w", err)
	}
	if p.HTTPGet == nil && p.TCPSocket == nil && p.GRPC == nil {
		if hasValue(p.Exec) {
			return nil, nil
		}
		return nil, fmt.Errorf("the readiness probe asks nothing: set one of httpGet, tcpSocket, grpc, exec")
	}
	if n := p.actions(); n != 1 {
		return nil, fmt.Errorf("the readiness probe has %d of httpGet, tcpSocket, grpc and exec: leave one", n)
	}
	if g := p.HTTPGet; g != nil {
		switch strings.ToUpper(g.Scheme) {
		case "", "HTTP":
			g.Scheme = "http"
		case "HTTPS":
			g.Scheme = "https"
		default:
			return nil, fmt.Errorf("httpGet.scheme: %q is unknown: use HTTP or HTTPS", g.Scheme)
		}
		if !strings.HasPrefix(g.Path, "/") {
			g.Path = "/" + g.Path
		}
	}
	if p.port() == 0 {
		return nil, fmt.Errorf("the readiness probe's port is missing: set it to the number of the container's port")
	}
	p.TimeoutSeconds = orDefault(p.TimeoutSeconds, 1)
	p.PeriodSeconds = orDefault(p.PeriodSeconds, 10)
	p.SuccessThreshold = orDefault(p.SuccessThreshold, 1)
	p.FailureThreshold = orDefault(p.FailureThreshold, 3)
	return &p, nil
}

// Timeout bounds one question.
func (p *Probe) Timeout() time.Duration { return time.Duration(p.TimeoutSeconds) * time.Second }

// Period is the pause between questions to a ready server.
func (p *Probe) Period() time.Duration { return time.Duration(p.PeriodSeconds) * time.Second }

func (p *Probe) port() Port {
	switch {
	case p.HTTPGet != nil:
		return p.HTTPGet.Port
	case p.TCPSocket != nil:
		return p.TCPSocket.Port
	case p.GRPC != nil:
		return p.GRPC.Port
	}
	return 0
}

func (p *Probe) actions() int {
	n := 0
	for _, set := range []bool{p.HTTPGet != nil, p.TCPSocket != nil, p.GRPC != nil, hasValue(p.Exec)} {
		if set {
			n++
		}
	}
	return n
}

func hasValue(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// orDefault also caps what nobody means, so that no product of it overflows.
func orDefault(n, otherwise int) int {
	if n <= 0 {
		return otherwise
	}
	return min(n, 24*60*60)
}
