package forward

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

// A request that is there as a whole, as nearly every inference request is, goes
// on over a connection of the wire: the handler's own goroutine writes it and
// reads the response. http.Transport has two more goroutines for each connection,
// because it sends a body while the response may already be coming; waking them
// up for each other costs about as much as all else that a proxy does.

const (
	// maxResponseHeader is the longest header of a response, the informational ones
	// before it included.
	maxResponseHeader = 1 << 20
	// maxInformational is how many responses of class 1xx may come before the final one.
	maxInformational = 16
	// readBuffer holds nearly every header and short response.
	readBuffer = 4 << 10
	// joined is the longest body that is copied behind its header, to be written with it.
	joined = 16 << 10
	// lateResponse is how long a server that stopped reading may take to say why.
	lateResponse = 50 * time.Millisecond
)

var (
	errLongHeader = fmt.Errorf("the response's header is longer than %d bytes", maxResponseHeader)
	errUpgraded   = errors.New("the server changed the protocol without having been asked")
	// errUnanswered marks that a connection ended before the first byte of a response.
	errUnanswered = errors.New("the connection ended before the response")
)

var requestBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}

// wireConn is a connection of the wire.
type wireConn struct {
	net.Conn
	addr   string
	br     *bufio.Reader
	alive  func() bool
	reused bool
	idleAt time.Time
	// left is how many bytes may still be read; negative: any number.
	left int64
}

func newWireConn(conn net.Conn, addr string) *wireConn {
	c := &wireConn{Conn: conn, addr: addr, alive: aliveCheck(conn)}
	c.br = bufio.NewReaderSize(c, readBuffer)
	return c
}

// Read reads from the server within the bound that is in force.
func (c *wireConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, errLongHeader
	}
	if c.left > 0 && int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.Conn.Read(p)
	if c.left > 0 {
		c.left -= int64(n)
	}
	return n, err //nolint:wrapcheck // the connection's own
}

// whole returns the request's body if it is in as a whole, or will be without
// keeping anybody waiting.
func (x *Exchange) whole() (body []byte, ok bool) {
	switch {
	case x.in.ProtoMajor != 1 || x.upgrade != "" || len(x.in.Header["Expect"]) > 0 || !plainHost(x.in.Host):
		return nil, false
	case x.body == nil:
		return nil, true
	case x.in.ContentLength < 0 || x.in.ContentLength > int64(x.f.o.Replay):
		return nil, false
	}
	return x.body.short(x.in.ContentLength)
}

// plainHost reports whether a Host goes on as it is.
func plainHost(host string) bool {
	for i := range len(host) {
		if c := host[i]; c <= ' ' || c >= 0x7f || c == '%' {
			return false
		}
	}
	return true
}

// sendWhole sends the request and returns the response once its header is in.
func (x *Exchange) sendWhole(ctx context.Context, addr string, body []byte) (*http.Response, error) {
	for {
		c, err := x.f.wire.get(ctx, addr)
		if err != nil {
			return nil, err
		}
		if x.Connected != nil {
			x.Connected()
		}
		res, err := x.sendOver(ctx, c, body)
		if err == nil {
			return res, nil
		}
		// A kept connection may be one that the server was just closing. What it has
		// done with the request nobody knows, unless nothing of it was written.
		if !c.reused || ctx.Err() != nil || !errors.Is(err, errUnanswered) {
			return nil, err
		}
		var w *writeNothing
		if !errors.As(err, &w) && !repeatable(x.in) {
			return nil, err
		}
	}
}

// writeNothing marks that no byte of the request was written.
type writeNothing struct{ error }

func (w *writeNothing) Unwrap() error { return w.error }

// repeatable reports whether a request may be executed twice, as http.Transport
// has it (RFC 9110, 9.2.2, and the field Idempotency-Key).
func repeatable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return len(r.Header["Idempotency-Key"]) > 0 || len(r.Header["X-Idempotency-Key"]) > 0
}

// sendOver makes one try over c, which it closes if nothing comes of it.
func (x *Exchange) sendOver(ctx context.Context, c *wireConn, body []byte) (*http.Response, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	res, err := x.talk(c, body)
	if err != nil {
		stop()
		c.Close()
		return nil, err
	}
	b := &wireBody{ReadCloser: res.Body, x: x, c: c, stop: stop, keep: !res.Close}
	if res.Body == http.NoBody {
		b.finish(true)
	} else {
		res.Body = b
	}
	return res, nil
}

// talk writes the request and reads the response's header.
func (x *Exchange) talk(c *wireConn, body []byte) (*http.Response, error) {
	written, writeErr := x.write(c, body)
	if writeErr != nil {
		if written == 0 {
			return nil, fmt.Errorf("%w: %w", errUnanswered, &writeNothing{writeErr})
		}
		// It may have answered before it stopped reading.
		_ = c.SetReadDeadline(time.Now().Add(lateResponse))
	}
	c.left = maxResponseHeader
	if _, err := c.br.Peek(1); err != nil {
		if writeErr != nil {
			err = writeErr
		}
		return nil, fmt.Errorf("%w: %w", errUnanswered, err)
	}
	for range maxInformational {
		res, err := http.ReadResponse(c.br, &x.out)
		if err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) && c.left == 0 {
				err = errLongHeader
			}
			return nil, fmt.Errorf("reading the response: %w", err)
		}
		if res.StatusCode == http.StatusSwitchingProtocols {
			return nil, errUpgraded
		}
		if res.StatusCode >= 200 {
			c.left = -1
			res.Close = res.Close || writeErr != nil
			return res, nil
		}
		x.inform(res.StatusCode, res.Header)
	}
	return nil, fmt.Errorf("the server sent %d informational responses and no other", maxInformational)
}

// inform passes an informational response on, as a proxy must (RFC 9110, 15.2).
// 100 is for whoever has asked for it, and that was not the client.
func (x *Exchange) inform(code int, header http.Header) {
	if code == http.StatusContinue || !x.in.ProtoAtLeast(1, 1) {
		return
	}
	h := x.w.Header()
	dropHopByHop(header)
	for name, values := range header {
		h[name] = values
	}
	x.w.WriteHeader(code)
	clear(h)
}

// write sends the request's header and body.
func (x *Exchange) write(c *wireConn, body []byte) (int, error) {
	pooled := requestBuffers.Get().(*[]byte)
	defer requestBuffers.Put(pooled)
	b := x.appendHeader((*pooled)[:0], c.addr, len(body))
	if len(body) > joined {
		buffers := net.Buffers{b, body}
		n, err := buffers.WriteTo(c.Conn)
		*pooled = b[:0]
		return int(n), err //nolint:wrapcheck // the connection's own
	}
	b = append(b, body...)
	*pooled = b[:0]
	return c.Conn.Write(b) //nolint:wrapcheck // the connection's own
}

func (x *Exchange) appendHeader(b []byte, addr string, length int) []byte {
	b = append(b, x.in.Method...)
	b = append(b, ' ')
	b = append(b, x.target()...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	if x.in.Host != "" {
		b = append(b, x.in.Host...)
	} else {
		b = append(b, addr...)
	}
	b = append(b, "\r\n"...)
	for name, values := range x.in.Header {
		switch name {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer":
			continue // said here, or true of the client's connection only
		}
		for _, v := range values {
			if v == "" && name == "User-Agent" || !httpguts.ValidHeaderFieldValue(v) {
				continue
			}
			b = append(b, name...)
			b = append(b, ": "...)
			b = append(b, v...)
			b = append(b, "\r\n"...)
		}
	}
	if length > 0 || x.in.Method == http.MethodPost || x.in.Method == http.MethodPut || x.in.Method == http.MethodPatch {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(length), 10)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// target is the request's target, as the client wrote it where that is plain.
func (x *Exchange) target() string {
	t := x.in.RequestURI
	if len(t) == 0 || t[0] != '/' {
		return x.url.RequestURI()
	}
	for i := range len(t) {
		if c := t[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return x.url.RequestURI()
		}
	}
	return t
}

// wireBody is the body of a response. Its end, or its Close, ends the use of the connection.
type wireBody struct {
	io.ReadCloser
	x    *Exchange
	c    *wireConn
	stop func() bool
	keep bool
	done bool
}

// Read reads the body.
func (b *wireBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.finish(errors.Is(err, io.EOF))
	}
	return n, err //nolint:wrapcheck // a body's own
}

// Close gives up what has not been read.
func (b *wireBody) Close() error {
	b.finish(false)
	return nil
}

func (b *wireBody) finish(whole bool) {
	if b.done {
		return
	}
	b.done = true
	// Where it comes too late the deadline may be set at any moment, also on a
	// connection that is at its next request.
	if inTime := b.stop(); !inTime || !whole || !b.keep || b.c.br.Buffered() > 0 {
		b.c.Close()
		return
	}
	b.x.f.wire.put(b.c)
}
