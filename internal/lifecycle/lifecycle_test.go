package lifecycle

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var quiet = slog.New(slog.DiscardHandler)

func TestUnitsStopInReverseOrderOneAfterTheOther(t *testing.T) {
	var mu sync.Mutex
	var order []string
	unit := func(name string) Unit {
		return Unit{Name: name, Run: func(ctx context.Context) error {
			<-ctx.Done()
			mu.Lock()
			defer mu.Unlock()
			order = append(order, name)
			return ctx.Err()
		}}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(t, Run(ctx, quiet, unit("admin"), unit("watch"), unit("data")))
	require.Equal(t, []string{"data", "watch", "admin"}, order)
}

func TestAUnitThatEndsStopsTheOthersAndIsNamed(t *testing.T) {
	wait := Unit{Name: "data", Run: func(ctx context.Context) error { <-ctx.Done(); return nil }}
	broken := Unit{Name: "admin", Run: func(context.Context) error { return errors.New("port taken") }}
	require.EqualError(t, Run(context.Background(), quiet, broken, wait), "admin: port taken")
	early := Unit{Name: "watch", Run: func(context.Context) error { return nil }}
	require.EqualError(t, Run(context.Background(), quiet, wait, early), "watch: ended before it was told to")
}

func TestAnOpenRequestFinishesDuringShutdown(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	entered, finish := make(chan struct{}), make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-finish
		_, _ = io.WriteString(w, "done")
	})}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- HTTP{Name: "t", Server: srv, Listener: ln}.Run(ctx) }()
	body := make(chan string, 1)
	go func() {
		res, err := http.Get("http://" + ln.Addr().String())
		if err != nil {
			body <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		body <- string(b)
	}()
	<-entered
	cancel()
	close(finish)
	require.Equal(t, "done", <-body)
	require.NoError(t, <-ended)
}

func TestARequestBeyondTheGraceIsCutAndSaidSo(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	entered := make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- HTTP{Name: "t", Server: srv, Listener: ln, Grace: 20 * time.Millisecond}.Run(ctx)
	}()
	go func() { _, _ = http.Get("http://" + ln.Addr().String()) }()
	<-entered
	cancel()
	require.ErrorContains(t, <-ended, "have been cut")
}

func TestATakenAddressIsNamed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	err = HTTP{Name: "t", Server: &http.Server{}, Addr: ln.Addr().String()}.Run(context.Background())
	require.ErrorContains(t, err, "listening on "+ln.Addr().String())
}
