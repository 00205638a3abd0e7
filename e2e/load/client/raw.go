package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rawserve/rawserve/e2e/load"
)

// answerTimeout bounds one request. A hop that hangs is an error and not a stop.
const answerTimeout = 20 * time.Second

// raw is a client of HTTP/1.1 with at most one connection, for the answers of
// package backend. It is no client for other servers.
type raw struct {
	addr    string
	request []byte
	want    string
	keep    bool

	conn net.Conn
	br   *bufio.Reader
	body []byte
}

func newRaw(o Options) *raw {
	return &raw{
		addr: o.Addr, keep: o.Cell.KeepAlive,
		request: rawRequest(o.Cell, o.Header),
		want:    load.Answer(o.Cell.Body),
		br:      bufio.NewReaderSize(nil, 4<<10),
	}
}

// rawRequest is the request of a cell as it is written, with the fields that an
// ordinary client sends.
func rawRequest(c load.Cell, header map[string]string) []byte {
	var b bytes.Buffer
	method := "GET"
	if c.Body > 0 {
		method = "POST"
	}
	fmt.Fprintf(&b, "%s /v2/models/iris/infer HTTP/1.1\r\nHost: %s\r\nUser-Agent: rawserve-load\r\nAccept: */*\r\n", method, host)
	for _, name := range slices.Sorted(maps.Keys(header)) {
		fmt.Fprintf(&b, "%s: %s\r\n", name, header[name])
	}
	if !c.KeepAlive {
		b.WriteString("Connection: close\r\n")
	}
	if c.Body > 0 {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", c.Body)
	}
	b.WriteString("\r\n")
	b.WriteString(strings.Repeat("x", c.Body))
	return b.Bytes()
}

func (r *raw) call(ctx context.Context) error {
	if r.conn == nil {
		conn, err := (&net.Dialer{Timeout: answerTimeout}).DialContext(ctx, "tcp", r.addr)
		if err != nil {
			return fmt.Errorf("connecting: %w", err)
		}
		r.conn = conn
		r.br.Reset(conn)
	}
	ends, err := r.exchange()
	if ends || !r.keep {
		r.close()
	}
	return err
}

func (r *raw) close() {
	if r.conn != nil {
		r.conn.Close()
		r.conn = nil
	}
}

// exchange writes the request, reads the answer, and reports whether the connection
// ends with it, as it does with every error.
func (r *raw) exchange() (ends bool, err error) {
	if err := r.conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return true, fmt.Errorf("setting the deadline: %w", err)
	}
	if _, err := r.conn.Write(r.request); err != nil {
		return true, fmt.Errorf("writing the request: %w", err)
	}
	status, err := r.line()
	if err != nil {
		return true, fmt.Errorf("reading the status: %w", err)
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return true, fmt.Errorf("the answer is %q", status)
	}
	h, err := r.header()
	if err != nil {
		return true, err
	}
	if err := r.readBody(h); err != nil {
		return true, err
	}
	if string(r.body) != r.want {
		return true, fmt.Errorf("the answer's body is %q, not %q", r.body, r.want)
	}
	return h.close, nil
}

// rawHeader is what the client has to know of an answer.
type rawHeader struct {
	length  int
	chunked bool
	close   bool
}

// maxAnswer is the longest answer, and the most fields of one.
const maxAnswer = 64 << 10

func (r *raw) header() (rawHeader, error) {
	h := rawHeader{length: -1}
	for range maxAnswer {
		line, err := r.line()
		if err != nil {
			return h, fmt.Errorf("reading the header: %w", err)
		}
		if len(line) == 0 {
			return h, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case field(name, "Content-Length"):
			if h.length, err = strconv.Atoi(string(value)); err != nil || h.length < 0 || h.length > maxAnswer {
				return h, fmt.Errorf("the answer's Content-Length is %q", value)
			}
		case field(name, "Transfer-Encoding"):
			h.chunked = bytes.EqualFold(value, []byte("chunked"))
		case field(name, "Connection"):
			h.close = bytes.EqualFold(value, []byte("close"))
		}
	}
	return h, errors.New("the answer's header does not end")
}

// field compares lengths first, for most names are not the one.
func field(name []byte, want string) bool {
	return len(name) == len(want) && strings.EqualFold(string(name), want)
}

func (r *raw) readBody(h rawHeader) error {
	r.body = r.body[:0]
	switch {
	case h.chunked:
		return r.chunks()
	case h.length >= 0:
		return r.take(h.length)
	}
	rest, err := io.ReadAll(io.LimitReader(r.br, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	r.body = append(r.body, rest...)
	return nil
}

func (r *raw) chunks() error {
	for {
		line, err := r.line()
		if err != nil {
			return fmt.Errorf("reading a chunk: %w", err)
		}
		n, err := strconv.ParseUint(string(line), 16, 16)
		if err != nil {
			return fmt.Errorf("a chunk's length is %q", line)
		}
		if n > 0 {
			if err := r.take(int(n)); err != nil {
				return err
			}
		}
		line, err = r.line()
		if err != nil || len(line) > 0 {
			return fmt.Errorf("a chunk ends with %q: %w", line, err)
		}
		if n == 0 {
			return nil
		}
	}
}

// take reads n bytes of the body.
func (r *raw) take(n int) error {
	if len(r.body)+n > maxAnswer {
		return errors.New("the answer is too long")
	}
	from := len(r.body)
	r.body = slices.Grow(r.body, n)[:from+n]
	if _, err := io.ReadFull(r.br, r.body[from:]); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return nil
}

// line is valid until the next read.
func (r *raw) line() ([]byte, error) {
	line, err := r.br.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}
