package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRelayPassesBytesBothWaysAndTheEndOfEach(t *testing.T) {
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	defer far.Close()
	near := httptest.NewServer(relay(http.NotFoundHandler()))
	defer near.Close()

	conn, err := net.Dial("tcp", near.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	target := far.Listener.Addr().String()
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target)
	reader := bufio.NewReader(conn)
	opened, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, opened.StatusCode)

	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: far\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
	answer, err := http.ReadResponse(reader, nil)
	require.NoError(t, err)
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, "hello", string(body))
}

func TestRelayNamesWhatItCannotReach(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	gone.Close()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodConnect, "/", nil)
	r.Host = gone.Addr().String()
	relay(http.NotFoundHandler()).ServeHTTP(w, r)
	require.Equal(t, http.StatusBadGateway, w.Code)
	require.Contains(t, w.Body.String(), "refused")
}
