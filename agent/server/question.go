package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/rawserve/rawserve/agent"
)

// question returns how to ask the probe's question once.
func question(p *agent.Probe) func(context.Context) agent.Reply {
	switch {
	case p.HTTPGet != nil:
		return askHTTP(p.HTTPGet)
	case p.GRPC != nil:
		return askGRPC(p.GRPC)
	default:
		return askTCP(p.TCPSocket)
	}
}

func local(port agent.Port) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))) }

// replyTo tells nobody listening from somebody who is not ready.
func replyTo(err error) agent.Reply {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return agent.Refused
	}
	return agent.Unready
}

func askTCP(t *agent.TCPSocket) func(context.Context) agent.Reply {
	return func(ctx context.Context) agent.Reply { return askAddr(ctx, local(t.Port)) }
}

// askAddr asks by a connection whether somebody listens.
func askAddr(ctx context.Context, addr string) agent.Reply {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return replyTo(err)
	}
	conn.Close()
	return agent.Ready
}

func askHTTP(g *agent.HTTPGet) func(context.Context) agent.Reply {
	client := &http.Client{
		Transport: &http.Transport{
			// Each question comes on a connection of its own, like kubelet's: an old one
			// may lead to a process that is on its way out.
			DisableKeepAlives: true,
			// Kubelet does not verify either: the certificate is the pod's own.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	target := url.URL{Scheme: g.Scheme, Host: local(g.Port)}
	return func(ctx context.Context) agent.Reply {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String()+g.Path, nil)
		if err != nil {
			return agent.Unready
		}
		req.Header.Set("User-Agent", "kube-probe/rawserve")
		req.Header.Set("Accept", "*/*")
		for _, h := range g.HTTPHeaders {
			if http.CanonicalHeaderKey(h.Name) == "Host" {
				req.Host = h.Value
				continue
			}
			req.Header.Add(h.Name, h.Value)
		}
		res, err := client.Do(req)
		if err != nil {
			return replyTo(err)
		}
		res.Body.Close()
		if res.StatusCode >= 200 && res.StatusCode < 400 {
			return agent.Ready
		}
		return agent.Unready
	}
}

// askGRPC makes the one unary call of gRPC's health service by hand: a client
// library would be most of the agent's size.
func askGRPC(g *agent.GRPC) func(context.Context) agent.Reply {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols, IdleConnTimeout: time.Second}
	message := healthRequest(g.Service)
	target := "http://" + local(g.Port) + "/grpc.health.v1.Health/Check"
	return func(ctx context.Context) agent.Reply {
		defer transport.CloseIdleConnections()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(message))
		if err != nil {
			return agent.Unready
		}
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("Te", "trailers")
		res, err := transport.RoundTrip(req)
		if err != nil {
			return replyTo(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		if err != nil || res.StatusCode != http.StatusOK || res.Trailer.Get("Grpc-Status") != "0" || !serving(body) {
			return agent.Unready
		}
		return agent.Ready
	}
}

// healthRequest is a gRPC frame with a HealthCheckRequest: field 1, a string.
func healthRequest(service string) []byte {
	var message []byte
	if service != "" {
		message = binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(service)))
		message = append(message, service...)
	}
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return append(frame, message...)
}

// serving reads a gRPC frame with a HealthCheckResponse: field 1, an
// enumeration in which 1 means serving. Other fields are none of our business.
func serving(frame []byte) bool {
	if len(frame) < 5 || frame[0] != 0 {
		return false
	}
	size := binary.BigEndian.Uint32(frame[1:5])
	message := frame[5:]
	if uint64(size) != uint64(len(message)) {
		return false
	}
	status := uint64(0)
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 || tag != 1<<3 {
			return status == 1
		}
		value, m := binary.Uvarint(message[n:])
		if m <= 0 {
			return false
		}
		status, message = value, message[n+m:]
	}
	return status == 1
}
