package load

import (
	"context"
	"errors"
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

func TestACallOfAnotherProtocolIsCountedLikeARequest(t *testing.T) {
	wrong := errors.New("wrong")
	r := Run(t.Context(), Options{Duration: time.Minute, MaxRequests: 3, Call: func(_ context.Context, n int64) error {
		if n == 1 {
			return wrong
		}
		return nil
	}})
	require.EqualValues(t, 3, r.Sent)
	require.EqualValues(t, 2, r.Succeeded)
	require.Len(t, r.Failures, 1)
	require.EqualValues(t, 1, r.Failures[0].N)
	require.ErrorIs(t, r.Failures[0].Err, wrong)
}
