package server

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

func TestAHeaderIsBounded(t *testing.T) {
	r := newRig(t, upstream(t, ok), nil)
	for size, want := range map[int]int{100 << 10: http.StatusOK, 200 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		for _, h2 := range []bool{false, true} {
			req, err := http.NewRequest(http.MethodGet, "http://"+r.addr, nil)
			require.NoError(t, err)
			req.Header.Set("X-Long", strings.Repeat("x", size))
			res, err := client(t, h2).Do(req)
			if h2 && want != http.StatusOK {
				require.Error(t, err, "the server says what it takes, and Go's client sends no more")
				continue
			}
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, want, res.StatusCode)
		}
	}
}

// setting is the value in the peer's first frame.
func setting(t *testing.T, in io.Reader, id http2.SettingID) uint32 {
	frame, err := http2.NewFramer(io.Discard, in).ReadFrame()
	require.NoError(t, err)
	value, ok := frame.(*http2.SettingsFrame).Value(id)
	require.True(t, ok)
	return value
}

// TestWhatASlowPeerHasNotTakenStaysWithTheOther: over HTTP/2 the window is what the
// agent must be ready to keep of a stream. By default Go's client offers 4 MiB, so
// that sixty readers who do not read would fill the agent's 256 MiB.
func TestWhatASlowPeerHasNotTakenStaysWithTheOther(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	r := newRig(t, ln.Addr().String(), nil)
	fromClients := dialH2(t, r.addr)
	fromClients.get(1, "/")

	conn, err := ln.Accept()
	require.NoError(t, err)
	defer conn.Close()
	in := bufio.NewReader(conn)
	_, err = io.ReadFull(in, make([]byte, len(http2.ClientPreface)))
	require.NoError(t, err)
	require.EqualValues(t, 64<<10, setting(t, in, http2.SettingInitialWindowSize), "of a response")

	frame, err := fromClients.framer.ReadFrame()
	require.NoError(t, err)
	window, ok := frame.(*http2.SettingsFrame).Value(http2.SettingInitialWindowSize)
	require.True(t, ok)
	require.EqualValues(t, 256<<10, window, "of a request")
}
