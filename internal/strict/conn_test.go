package strict_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/internal/strict"
	"github.com/rawserve/rawserve/internal/strict/stricttest"
)

// pieces hands out one piece with each Read, or less where there is less room.
type pieces [][]byte

func (p *pieces) Read(b []byte) (int, error) {
	for len(*p) > 0 {
		n := copy(b, (*p)[0])
		if (*p)[0] = (*p)[0][n:]; len((*p)[0]) == 0 {
			*p = (*p)[1:]
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, io.EOF
}

// passed is what of a stream goes on, in reads of the given size, and why it ends.
func passed(t testing.TB, src io.Reader, size int) (string, strict.Reason) {
	t.Helper()
	r := &strict.Reader{Src: src}
	var out []byte
	buf := make([]byte, size)
	for {
		n, err := r.Read(buf)
		out = append(out, buf[:n]...)
		require.LessOrEqual(t, r.Ahead(), size+len(preamble))
		if errors.Is(err, io.EOF) {
			return string(out), r.Reason()
		}
		require.NoError(t, err)
		require.NotZero(t, n)
	}
}

func TestWhatIsNotReadAlikeByAllIsRefused(t *testing.T) {
	for _, c := range stricttest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			out, reason := passed(t, strings.NewReader(c.Raw), 4096)
			require.Equal(t, c.Reason, reason)
			require.NotContains(t, out, "hidden")
			// The reference looks at lines, so it needs the end of the last one.
			v := reference([]byte(c.Raw + "\r\n"))
			require.Equal(t, c.Reason != "", v.refused, "the reference agrees")
			require.Len(t, v.whole, len(c.Goes))
			agree(t, out, v)
		})
	}
}

// TestHowTheBytesAreCutDoesNotMatter cuts every case at every byte, the longest at
// some less, and into single bytes.
func TestHowTheBytesAreCutDoesNotMatter(t *testing.T) {
	for _, c := range stricttest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			want, reason := passed(t, strings.NewReader(c.Raw), 4096)
			same := func(src io.Reader, size int) {
				t.Helper()
				out, why := passed(t, src, size)
				require.Equal(t, want, out)
				require.Equal(t, reason, why)
			}
			same(iotest.OneByteReader(strings.NewReader(c.Raw)), 4096)
			same(strings.NewReader(c.Raw), 1)
			same(strings.NewReader(c.Raw), 7)
			for i := 0; i < len(c.Raw); i += 1 + i/300 { // the long ones repeat themselves
				same(&pieces{[]byte(c.Raw[:i]), []byte(c.Raw[i:])}, 4096)
			}
		})
	}
}

// agree has net/http read what has passed: it must see the reference's requests,
// and after them an error that it answers, if the rest is refused.
func agree(t testing.TB, out string, v verdict) {
	t.Helper()
	in := bufio.NewReader(strings.NewReader(out))
	for i, want := range v.whole {
		req, err := http.ReadRequest(in)
		if err != nil {
			// It may be stricter on heads: it answers 400 and closes.
			require.NotErrorIs(t, err, io.EOF, "request %d", i)
			require.NotErrorIs(t, err, io.ErrUnexpectedEOF, "request %d", i)
			return
		}
		require.Equal(t, want.method, req.Method)
		require.Equal(t, want.target, req.RequestURI)
		require.Equal(t, want.chunked, len(req.TransferEncoding) > 0)
		if !want.chunked {
			require.EqualValues(t, len(want.body), req.ContentLength)
		}
		body, err := io.ReadAll(req.Body)
		require.NoError(t, err, "it is never stricter on bodies, for it would read on in the middle")
		require.Equal(t, want.body, string(body))
	}
	if v.http2 {
		return
	}
	req, err := http.ReadRequest(in)
	if err == nil {
		_, err = io.ReadAll(req.Body)
		require.Error(t, err, "the body must not end")
	}
	if v.refused {
		require.NotErrorIs(t, err, io.EOF, "it must be answered")
		require.NotErrorIs(t, err, io.ErrUnexpectedEOF, "it must be answered")
		// Go's server looks first whether it is HTTP/2.
		require.GreaterOrEqual(t, len(out), len(preamble))
	}
}

// FuzzOnlyWhatIsReadAlikeByAllPasses compares three readers of any stream: the
// machine, the reference, and net/http behind the machine.
func FuzzOnlyWhatIsReadAlikeByAllPasses(f *testing.F) {
	for i, c := range stricttest.Cases() {
		f.Add([]byte(c.Raw), uint16(i*7), uint8(i))
	}
	f.Add([]byte(preamble+"\x00\x00\x00\x04\x00\x00\x00\x00\x00"), uint16(20), uint8(3))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: m\r\nUpgrade: x\r\n\r\nGET / HTTP/1.1\r\nHost: m\r\n\r\n"), uint16(20), uint8(3))
	f.Fuzz(func(t *testing.T, stream []byte, cut uint16, size uint8) {
		out, reason := passed(t, bytes.NewReader(stream), 4096)
		v := reference(stream)
		switch {
		case v.http2:
			require.Equal(t, string(bytes.TrimPrefix(stream, []byte("\r\n"))), out)
			return
		case v.refused:
			require.NotEmpty(t, reason, "the reference refuses it")
		}
		if reason != "" && !v.refused {
			// The reference cannot tell before the end of what is wrong.
			more, _ := passed(t, bytes.NewReader(append(bytes.Clone(stream), "\r\n\r\n\r\n"...)), 4096)
			require.Equal(t, out, more)
			v.refused = true
		}
		agree(t, out, v)

		at := int(cut) % (len(stream) + 1)
		split, why := passed(t, &pieces{stream[:at], stream[at:]}, 1+int(size))
		require.Equal(t, out, split, "cut at %d", at)
		require.Equal(t, reason, why)
	})
}

const upgrading = "GET / HTTP/1.1\r\nHost: m\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

// TestWhatFollowsAnUpgradeIsPassedOnAsItIs, also what came in with the request.
func TestWhatFollowsAnUpgradeIsPassedOnAsItIs(t *testing.T) {
	for _, size := range []int{1, 5, 4096} {
		for _, together := range []bool{true, false} {
			frames := "\x81\x05hello\r\n\x00\n GET"
			src := &pieces{[]byte(upgrading), []byte(frames)}
			if together {
				src = &pieces{[]byte(upgrading + frames)}
			}
			r := &strict.Reader{Src: src}
			head := make([]byte, len(upgrading))
			_, err := io.ReadFull(readsOf(r, size), head)
			require.NoError(t, err)
			require.Equal(t, upgrading, string(head))
			// The server looks whether the client is there, until it has answered.
			first := make([]byte, 1)
			n, err := r.Read(first)
			require.NoError(t, err)
			require.Equal(t, 1, n)
			r.Hijacked()
			rest, err := io.ReadAll(readsOf(r, size))
			require.NoError(t, err)
			require.Equal(t, frames, string(first)+string(rest))
			require.Empty(t, r.Reason())
		}
	}
}

// TestARequestAfterARefusedUpgradeIsScreened: the server goes on with HTTP/1.1.
func TestARequestAfterARefusedUpgradeIsScreened(t *testing.T) {
	for next, reason := range map[string]strict.Reason{
		"GET / HTTP/1.1\r\nHost: m\r\n\r\n":               "",
		"GET / HTTP/1.1\r\nHost: m\r\nX: a\r\n b\r\n\r\n": strict.BadEnd,
		"\x81\x05hello":          strict.BadLine,
		"\r\nGET / HTTP/1.1\r\n": strict.BadLine,
	} {
		for _, size := range []int{1, 4096} {
			out, why := passed(t, strings.NewReader(upgrading+next), size)
			require.Equal(t, reason, why)
			if reason == "" {
				require.Equal(t, upgrading+next, out)
				continue
			}
			agree(t, out, verdict{whole: []message{{method: "GET", target: "/"}}, refused: true})
		}
	}
}

func readsOf(r io.Reader, size int) io.Reader { return &small{r, size} }

type small struct {
	r    io.Reader
	size int
}

func (s *small) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.size)]) }

// interrupted fails every other read with a time-out, as a read does that
// http.Server has interrupted.
type interrupted struct {
	r   io.Reader
	now bool
}

func (i *interrupted) Read(p []byte) (int, error) {
	if i.now = !i.now; i.now {
		return 0, os.ErrDeadlineExceeded
	}
	return i.r.Read(p[:min(3, len(p))])
}

func TestAnInterruptedReadLosesNothing(t *testing.T) {
	for _, c := range stricttest.Cases() {
		want, reason := passed(t, strings.NewReader(c.Raw), 4096)
		r := &strict.Reader{Src: &interrupted{r: strings.NewReader(c.Raw)}}
		var out []byte
		buf := make([]byte, 4096)
		for {
			n, err := r.Read(buf)
			out = append(out, buf[:n]...)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			}
		}
		require.Equal(t, want, string(out), c.Name)
		require.Equal(t, reason, r.Reason(), c.Name)
	}
}

// TestHTTP2IsPassedOnAsItIs, and nothing of what it begins with is seen by itself.
func TestHTTP2IsPassedOnAsItIs(t *testing.T) {
	stream := preamble + "\x00\x00\x00\x04\x00\x00\x00\x00\x00 GET\n\n"
	for _, size := range []int{1, 3, 10, 4096} {
		for i := range stream {
			out, reason := passed(t, &pieces{[]byte(stream[:i]), []byte(stream[i:])}, size)
			require.Equal(t, stream, out)
			require.Empty(t, reason)
		}
	}
	r := &strict.Reader{Src: &pieces{[]byte(preamble[:len(preamble)-1])}}
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "PRI * HTTP/2.0", string(out), "what would be a request is kept until it is none")
}

func TestAReaderIsSmall(t *testing.T) { require.LessOrEqual(t, int(strict.Size), 200) }

func TestScreeningAllocatesNothing(t *testing.T) {
	stream := typical()
	src, buf := &repeat{stream: stream}, make([]byte, 4096)
	r := &strict.Reader{Src: src}
	require.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = r.Read(buf) }))
	require.Empty(t, r.Reason())
}

// typical is a request for inference, 300 bytes of head and a small body.
func typical() []byte {
	body := `{"instances": [[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6]]}`
	return []byte("POST /v1/models/iris:predict HTTP/1.1\r\nHost: iris-predictor.models.svc.cluster.local\r\n" +
		"User-Agent: python-requests/2.32.3\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n" +
		"Content-Type: application/json\r\nX-Request-Id: 5f1c1b8e-8f0f-4f0e-9a55-0d4fdcf6a2c1\r\nContent-Length: 59\r\n\r\n" + body)
}

// repeat hands out the same request with every read.
type repeat struct{ stream []byte }

func (r *repeat) Read(p []byte) (int, error) { return copy(p, r.stream), nil }

func BenchmarkHead(b *testing.B) {
	stream := typical()
	buf := make([]byte, 4096)
	r := &strict.Reader{Src: &repeat{stream: stream}}
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		_, _ = r.Read(buf)
	}
	require.Empty(b, r.Reason())
}

func BenchmarkChunks(b *testing.B) {
	var stream bytes.Buffer
	stream.WriteString("POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n")
	for stream.Len() < 32<<10 {
		stream.WriteString("400\r\n" + strings.Repeat("x", 1024) + "\r\n")
	}
	stream.WriteString("0\r\n\r\n")
	buf := make([]byte, 64<<10)
	r := &strict.Reader{Src: &repeat{stream: stream.Bytes()}}
	b.SetBytes(int64(stream.Len()))
	b.ReportAllocs()
	for b.Loop() {
		_, _ = r.Read(buf)
	}
	require.Empty(b, r.Reason())
}
