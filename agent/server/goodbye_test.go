package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2conn is an HTTP/2 connection whose frames the test writes and reads itself.
type h2conn struct {
	t      testing.TB
	framer *http2.Framer
}

func dialH2(t testing.TB, addr string) *h2conn {
	conn, in := dial(t, addr, http2.ClientPreface)
	c := &h2conn{t, http2.NewFramer(conn, in)}
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	require.NoError(t, c.framer.WriteSettings())
	return c
}

// get begins a stream.
func (c *h2conn) get(stream uint32, path string) {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "m"}, {":path", path}} {
		require.NoError(c.t, e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}))
	}
	require.NoError(c.t, c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true,
	}))
}

// answer reads until the stream's end and returns its status, and the connection's
// farewells that came before.
func (c *h2conn) answer(stream uint32) (status string, farewells []uint32) {
	for {
		frame, err := c.framer.ReadFrame()
		require.NoError(c.t, err)
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamID == stream {
				status = f.PseudoValue("status")
			}
		case *http2.GoAwayFrame:
			farewells = append(farewells, f.LastStreamID)
		}
		if h := frame.Header(); h.StreamID == stream && h.Flags.Has(http2.FlagDataEndStream) {
			return status, farewells
		}
	}
}

// farewell reads until the connection's farewell.
func (c *h2conn) farewell() *http2.GoAwayFrame {
	for {
		frame, err := c.framer.ReadFrame()
		require.NoError(c.t, err)
		if f, ok := frame.(*http2.GoAwayFrame); ok {
			return f
		}
	}
}

// end reads to the connection's end.
func (c *h2conn) end() error {
	for {
		if _, err := c.framer.ReadFrame(); err != nil {
			return err
		}
	}
}

// TestADrainSaysGoodbyeToHTTP2AndServesWhatIsOnItsWay: a client that says nothing
// hears of the drain all the same, and loses nothing that it sends until it has.
func TestADrainSaysGoodbyeToHTTP2AndServesWhatIsOnItsWay(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	r := newRig(t, upstream(t, func(_ http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/last" {
			close(entered)
			<-leave
		}
	}), func(c *Config) { c.DrainQuiet = 10 * time.Millisecond })
	last := make(chan reply, 1)
	go func() { last <- fetch(client(t, false), http.MethodGet, "http://"+r.addr+"/last", "") }()
	<-entered
	before := dialH2(t, r.addr)
	before.get(1, "/")
	status, farewells := before.answer(1)
	require.Equal(t, "200", status)
	require.Empty(t, farewells)

	drained := make(chan reply, 1)
	go func() { drained <- r.get("/drain") }()
	said := before.farewell()
	require.Equal(t, http2.ErrCodeNo, said.ErrCode)
	require.EqualValues(t, 1<<31-1, said.LastStreamID, "no stream is refused")
	before.get(3, "/")
	status, farewells = before.answer(3)
	require.Equal(t, "200", status)
	require.Empty(t, farewells, "once is enough")

	// Whoever comes now is served and told with that.
	late := dialH2(t, r.addr)
	late.get(1, "/")
	status, farewells = late.answer(1)
	require.Equal(t, "200", status)
	if len(farewells) == 0 {
		farewells = []uint32{late.farewell().LastStreamID}
	}
	require.Equal(t, []uint32{1<<31 - 1}, farewells)

	close(leave)
	require.Equal(t, 200, (<-last).code)
	require.Equal(t, 200, (<-drained).code)
	require.ErrorIs(t, before.end(), io.EOF)
	require.ErrorIs(t, late.end(), io.EOF)
}

func TestAStreamThatBeganBeforeTheDrainEndsInPeace(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	r := newRig(t, upstream(t, func(http.ResponseWriter, *http.Request) { close(entered); <-leave }),
		func(c *Config) { c.DrainQuiet = 10 * time.Millisecond })
	c := dialH2(t, r.addr)
	c.get(1, "/")
	<-entered
	drained := make(chan reply, 1)
	go func() { drained <- r.get("/drain") }()
	c.farewell()
	close(leave)
	status, _ := c.answer(1)
	require.Equal(t, "200", status)
	require.Equal(t, 200, (<-drained).code)
}

// onceBody is a body that cannot be sent twice. Go's client closes the body of a
// request that it takes to another connection before it has sent any of it.
type onceBody struct {
	io.Reader
	begun atomic.Bool
}

func (b *onceBody) Read(p []byte) (int, error) {
	b.begun.Store(true)
	return b.Reader.Read(p)
}

func (b *onceBody) Close() error { return nil }

func (b *onceBody) again() (io.ReadCloser, error) {
	if b.begun.Load() {
		return nil, errors.New("the body has been sent and was dropped")
	}
	return b, nil
}

// TestNoRequestIsLostWhenADrainBegins sends bodies that cannot be sent twice, as
// activators do.
func TestNoRequestIsLostWhenADrainBegins(t *testing.T) {
	const workers, each = 8, 100
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %t", h2), func(t *testing.T) {
			entered, leave := make(chan struct{}), make(chan struct{})
			r := newRig(t, upstream(t, func(w http.ResponseWriter, q *http.Request) {
				if q.URL.Path == "/last" {
					close(entered)
					<-leave
				}
				_, _ = io.Copy(w, q.Body)
			}), func(c *Config) { c.DrainQuiet = 10 * time.Millisecond })
			c := client(t, h2)
			// It keeps the drain from its end, where a client that pauses for as long as
			// the quiet time has its connection closed.
			last := make(chan reply, 1)
			go func() { last <- fetch(client(t, h2), http.MethodGet, "http://"+r.addr+"/last", "") }()
			<-entered
			var sent atomic.Int64
			ended := make(chan error, workers)
			for range workers {
				go func() {
					ended <- func() error {
						for range each {
							body := &onceBody{Reader: strings.NewReader("hello")}
							req, err := http.NewRequest(http.MethodPost, "http://"+r.addr, body)
							if err != nil {
								return err
							}
							req.GetBody = body.again
							res, err := c.Do(req)
							if err != nil {
								return err
							}
							got, err := io.ReadAll(res.Body)
							res.Body.Close()
							if err != nil || res.StatusCode != 200 || string(got) != "hello" {
								return fmt.Errorf("%d %q: %w", res.StatusCode, got, err)
							}
							sent.Add(1)
						}
						return nil
					}()
				}()
			}
			eventually(t, "requests flow", func() bool { return sent.Load() > workers*each/4 })
			drained := make(chan reply, 1)
			go func() { drained <- r.get("/drain") }()
			for range workers {
				require.NoError(t, <-ended)
			}
			eventually(t, "the drain has begun", func() bool { return r.s.draining.Load() != nil })
			close(leave)
			require.Equal(t, 200, (<-last).code)
			require.Equal(t, 200, (<-drained).code)
		})
	}
}

// TestIdleConnectionsEndWhenTheDrainDoes: what is left then would lead to a server
// that is gone. A client whose connection ends goes through the Service.
func TestIdleConnectionsEndWhenTheDrainDoes(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	r := newRig(t, upstream(t, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/stream" {
			fmt.Fprint(w, "token")
			w.(http.Flusher).Flush()
			close(entered)
			<-leave
		}
	}), func(c *Config) { c.DrainQuiet = 50 * time.Millisecond })
	used, in := dial(t, r.addr, "GET / HTTP/1.1\r\nHost: m\r\n\r\n")
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.False(t, res.Close)
	// Its header has said that the connection stays.
	_, streamIn := dial(t, r.addr, "GET /stream HTTP/1.1\r\nHost: m\r\n\r\n")
	stream, err := http.ReadResponse(streamIn, nil)
	require.NoError(t, err)
	<-entered
	fresh, freshIn := dial(t, r.addr, "")
	eventually(t, "all are accepted", func() bool { return r.s.conns.len() == 3 })

	drained := make(chan reply, 1)
	go func() { drained <- r.get("/drain") }()
	eventually(t, "the drain begins", func() bool { return r.s.draining.Load() != nil })
	close(leave)
	body, err := io.ReadAll(stream.Body)
	require.NoError(t, err)
	require.Equal(t, "token", string(body))
	require.Equal(t, 200, (<-drained).code)
	for _, conn := range []io.Reader{used, freshIn, streamIn} {
		_, err := io.ReadAll(conn)
		require.NoError(t, err, "it ends without a reset")
	}
	require.NoError(t, fresh.Close())
	require.Equal(t, 200, fetch(client(t, false), http.MethodGet, "http://"+r.addr, "").code, "who comes anew is served as long as there is a server")
}

// TestOnlyConnectionsOnWhichNothingHappensAreIdle: closing any other loses a request.
func TestOnlyConnectionsOnWhichNothingHappensAreIdle(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	r := newRig(t, upstream(t, func(http.ResponseWriter, *http.Request) { entered <- struct{}{}; <-leave }), nil)
	const request = "GET / HTTP/1.1\r\nHost: m\r\n\r\n"
	_, inside := dial(t, r.addr, request)
	<-entered
	half, halfIn := dial(t, r.addr, "")
	eventually(t, "it is accepted", func() bool { return r.s.conns.len() == 2 })
	began := time.Now()
	_, err := io.WriteString(half, request[:10])
	require.NoError(t, err)
	eventually(t, "the first bytes have been read", func() bool { return r.s.conns.heardSince(began) == 1 })

	r.s.conns.closeIdle(began)
	_, err = io.WriteString(half, request[10:])
	require.NoError(t, err)
	select {
	case <-entered:
	case <-time.After(30 * time.Second):
		t.Fatal("the request has been lost")
	}
	close(leave)
	for _, in := range []io.Reader{inside, halfIn} {
		buf := make([]byte, 15)
		_, err := io.ReadFull(in, buf)
		require.NoError(t, err)
		require.Equal(t, "HTTP/1.1 200 OK", string(buf))
	}
	eventually(t, "both are idle now, and closed", func() bool {
		r.s.conns.closeIdle(time.Now().Add(time.Hour))
		return r.s.conns.len() == 0
	})
}

func TestAStopOfTheAgentLeavesNoConnectionBehind(t *testing.T) {
	r := newRig(t, upstream(t, ok), nil)
	dialH2(t, r.addr)
	dial(t, r.addr, "")
	eventually(t, "both are accepted", func() bool { return r.s.conns.len() == 2 })
	r.stop()
	<-r.ended
	eventually(t, "both are gone", func() bool { return r.s.conns.len() == 0 })
}

// FuzzAFarewellComesBetweenFrames writes frames in pieces of any sizes and says
// goodbye after one of them.
func FuzzAFarewellComesBetweenFrames(f *testing.F) {
	f.Add([]byte{0, 5, 200}, []byte{1, 2, 3, 40}, uint8(0))
	f.Add([]byte{0, 0, 0}, []byte{9}, uint8(2))
	f.Add([]byte{17}, []byte{255}, uint8(1))
	f.Fuzz(func(t *testing.T, sizes, pieces []byte, when uint8) {
		var frames bytes.Buffer
		framer := http2.NewFramer(&frames, nil)
		require.NoError(t, framer.WriteSettings())
		for i, n := range sizes {
			require.NoError(t, framer.WriteData(uint32(2*i+1), false, bytes.Repeat([]byte{7}, int(n)*100)))
		}
		var out bytes.Buffer
		w := frameWriter{w: &out}
		rest := frames.Bytes()
		for i := 0; len(rest) > 0; i++ {
			n := len(rest)
			if i < len(pieces) {
				n = min(n, int(pieces[i])*50+1)
			}
			_, err := w.Write(rest[:n])
			require.NoError(t, err)
			rest = rest[n:]
			if i == int(when) || len(rest) == 0 {
				w.goAway()
			}
		}
		read := http2.NewFramer(nil, &out)
		var kept bytes.Buffer
		again := http2.NewFramer(&kept, nil)
		farewells := 0
		for {
			frame, err := read.ReadFrame()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			switch x := frame.(type) {
			case *http2.GoAwayFrame:
				require.EqualValues(t, 1<<31-1, x.LastStreamID)
				require.Equal(t, http2.ErrCodeNo, x.ErrCode)
				farewells++
			case *http2.SettingsFrame:
				require.NoError(t, again.WriteSettings())
			case *http2.DataFrame:
				require.NoError(t, again.WriteData(x.StreamID, false, x.Data()))
			}
		}
		require.Equal(t, 1, farewells)
		require.Equal(t, frames.Bytes(), kept.Bytes())
	})
}

func TestHTTP1GetsNoFrames(t *testing.T) {
	var out bytes.Buffer
	w := frameWriter{w: &out}
	_, err := w.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	require.NoError(t, err)
	w.goAway()
	_, err = w.Write([]byte("more"))
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 200 OK\r\n\r\nmore", out.String())
}
