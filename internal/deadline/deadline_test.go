package deadline

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheShortestTimeCounts(t *testing.T) {
	for name, c := range map[string]struct {
		header http.Header
		want   time.Duration
		given  bool
	}{
		"nothing said":        {http.Header{}, 0, false},
		"gRPC, seconds":       {http.Header{GRPC: {"5S"}}, 5 * time.Second, true},
		"gRPC, milliseconds":  {http.Header{GRPC: {"1500m"}}, 1500 * time.Millisecond, true},
		"gRPC, hours":         {http.Header{GRPC: {"99999999H"}}, longest, true},
		"gRPC, nothing left":  {http.Header{GRPC: {"0n"}}, 0, true},
		"gRPC, nine digits":   {http.Header{GRPC: {"123456789n"}}, 0, false},
		"gRPC, no unit":       {http.Header{GRPC: {"5"}}, 0, false},
		"gRPC, unknown unit":  {http.Header{GRPC: {"5s"}}, 0, false},
		"gRPC, signed":        {http.Header{GRPC: {"-5S"}}, 0, false},
		"Envoy":               {http.Header{Envoy: {"250"}}, 250 * time.Millisecond, true},
		"Envoy, not a number": {http.Header{Envoy: {"250ms"}}, 0, false},
		"Envoy, no limit":     {http.Header{Envoy: {"0"}}, 0, false},
		"our own":             {http.Header{Own: {"2s"}}, 2 * time.Second, true},
		"our own, negative":   {http.Header{Own: {"-2s"}}, 0, false},
		"the shortest":        {http.Header{GRPC: {"5S"}, Envoy: {"4000"}, Own: {"4.5s"}}, 4 * time.Second, true},
		"one that makes none": {http.Header{GRPC: {"soon"}, Own: {"1s"}}, time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, given := Of(c.header)
			require.Equal(t, c.given, given)
			require.Equal(t, c.want, got)
		})
	}
}

func TestWhatIsPassedOnIsWhatIsLeft(t *testing.T) {
	h := http.Header{GRPC: {"5S"}, Envoy: {"4000"}, Own: {"4s"}, "X-Other": {"4s"}}
	Shorten(h, 1500*time.Millisecond)
	require.Equal(t, http.Header{GRPC: {"3500000u"}, Envoy: {"2500"}, Own: {"2.5s"}, "X-Other": {"4s"}}, h)
	Shorten(h, time.Minute)
	require.Equal(t, http.Header{GRPC: {"0n"}, Envoy: {"1"}, Own: {"0s"}, "X-Other": {"4s"}}, h)
}

func FuzzDeadline(f *testing.F) {
	for _, s := range []string{"5S", "1m", "99999999H", "18446744073709551615", "1h1m", "", "１S"} {
		f.Add(s, int64(time.Second))
	}
	f.Fuzz(func(t *testing.T, text string, past int64) {
		past = max(past, 0)
		h := http.Header{GRPC: {text}, Envoy: {text}, Own: {text}}
		before, given := Of(h)
		require.GreaterOrEqual(t, before, time.Duration(0))
		Shorten(h, time.Duration(past))
		after, still := Of(h)
		require.Equal(t, given, still, "what made sense still does")
		least := time.Duration(0)
		if _, ok := parseMilliseconds(text); ok {
			least = time.Millisecond
		}
		require.LessOrEqual(t, after, max(before-time.Duration(past), least), "nobody is given time that is not there")
	})
}
