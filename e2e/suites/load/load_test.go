package load

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLoadGoesOnUntilItIsDoneAndFinishesWhatItHasBegun(t *testing.T) {
	done, begun, answer := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var once sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		once.Do(func() { close(begun) })
		<-answer
	}))
	defer server.Close()
	go func() {
		<-begun
		close(done)
		close(answer)
	}()
	r := Run(t.Context(), Options{
		Client: server.Client(), Clients: 3, Done: done, Interval: time.Millisecond,
		Request: func(ctx context.Context, _ int64) (*http.Request, error) {
			return http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		},
	})
	require.Empty(t, r.Failures)
	require.NotZero(t, r.Succeeded)
	require.Equal(t, r.Sent, r.Succeeded)
}
