package clientconn

import (
	"context"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGoneSeesAHangUpBehindUnreadBytes(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the kernel can be asked on Linux only")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	served, err := ln.Accept()
	require.NoError(t, err)
	defer served.Close()

	conn := From(Context(context.Background(), served))
	require.Equal(t, ln.Addr().(*net.TCPAddr).Port, conn.Port)
	require.False(t, conn.Gone())
	_, err = client.Write(make([]byte, 512))
	require.NoError(t, err)
	require.False(t, conn.Gone())
	require.NoError(t, client.Close())
	require.Eventually(t, conn.Gone, 5*time.Second, time.Millisecond)
}

func TestGoneIsTrueForAConnectionClosedHere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	served, err := ln.Accept()
	require.NoError(t, err)
	conn := From(Context(context.Background(), served))
	require.NoError(t, served.Close())
	if runtime.GOOS == "linux" {
		require.True(t, conn.Gone())
	}
}

func TestWithoutAConnectionNothingIsGone(t *testing.T) {
	require.False(t, From(context.Background()).Gone())
}
