package harness

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// activatorsThatSay gives activators that answer with those figures for the route
// demo/iris, and with others for another route.
func activatorsThatSay(t *testing.T, answers ...string) *Activators {
	t.Helper()
	a := &Activators{client: http.DefaultClient}
	for _, answer := range answers {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			require.Equal(t, "/stats", r.URL.Path)
			fmt.Fprintf(w, `{"now": 5000000000, "pod": "a", "routes": [{"namespace": "demo", "name": "other", "abandoned": 99, "waiting": 9}%s]}`, answer)
		}))
		t.Cleanup(s.Close)
		a.addresses = append(a.addresses, strings.TrimPrefix(s.URL, "http://"))
	}
	return a
}

func TestCountersOfARouteAreAddedUpOverActivators(t *testing.T) {
	a := activatorsThatSay(t,
		`, {"namespace": "demo", "name": "iris", "waiting": 1, "waitingSeconds": 2.5, "arrivals": 12, "forwarded": 7, "abandoned": 4}`,
		`, {"namespace": "demo", "name": "iris", "waiting": 2, "waitingSeconds": 0.5, "arrivals": 5, "forwarded": 3, "abandoned": 0}`,
		``)
	sum, err := a.Sum(t.Context(), "demo", "iris")
	require.NoError(t, err)
	require.Equal(t, RouteStats{Waiting: 3, WaitingSeconds: 3, Arrivals: 17, Forwarded: 10, Abandoned: 4}, sum)
}

func TestTheIntegralOfWaitingTellsSinceWhenARequestIsHeld(t *testing.T) {
	before := RouteStats{WaitingSeconds: 3}
	for _, c := range []struct {
		situation, answer string
		held              bool
		want              time.Time
	}{
		{"one request", `, {"namespace": "demo", "name": "iris", "waiting": 1, "waitingSeconds": 3.25}`, true, time.UnixMilli(4750)},
		{"two at the same time", `, {"namespace": "demo", "name": "iris", "waiting": 2, "waitingSeconds": 3.5}`, true, time.UnixMilli(4750)},
		{"none", `, {"namespace": "demo", "name": "iris", "waiting": 0, "waitingSeconds": 3}`, false, time.Time{}},
		{"a route that is not served yet", ``, false, time.Time{}},
	} {
		at, held, err := activatorsThatSay(t, c.answer, ``).HeldSince(t.Context(), "demo", "iris", before)
		require.NoError(t, err)
		require.Equal(t, c.held, held, c.situation)
		require.True(t, c.want.Equal(at), "%s: %s", c.situation, at)
	}
}

func TestAnActivatorThatDoesNotAnswerIsNamed(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	address := strings.TrimPrefix(s.URL, "http://")
	_, err := (&Activators{client: http.DefaultClient, addresses: []string{address}}).Sum(t.Context(), "demo", "iris")
	require.ErrorContains(t, err, address)
}
