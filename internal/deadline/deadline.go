// Package deadline reads how long a client waits for its answer, so that nobody
// works for one that has given up. What a client says can only shorten what the
// server allows.
package deadline

import (
	"net/http"
	"strconv"
	"time"
)

// The fields that say it, in their canonical form.
const (
	// GRPC is gRPC's own: up to eight digits and a unit, H, M, S, m, u or n.
	GRPC = "Grpc-Timeout"
	// Envoy has milliseconds. Envoy and what is built on it sets it for the server. To
	// it 0 is no limit, so the least that it says is 1.
	Envoy = "X-Envoy-Expected-Rq-Timeout-Ms"
	// Own is for everybody else: a duration such as 2s or 300ms.
	Own = "Rawserve-Timeout"
)

// Of is the shortest time that the header gives, counted from the request's
// arrival, and whether it gives any. A field that makes no sense is as good as
// none: the request was not made any worse by it, and gRPC's servers think so too.
func Of(h http.Header) (d time.Duration, given bool) {
	d = longest
	for _, field := range fields {
		values := h[field.name]
		if len(values) == 0 {
			continue
		}
		if t, ok := field.parse(values[0]); ok && t <= d {
			d, given = t, true
		}
	}
	if !given {
		return 0, false
	}
	return d, true
}

// Shorten says in the fields that are there what is left of their times, for whoever
// gets the request next. They count from its arrival there.
func Shorten(h http.Header, past time.Duration) {
	for _, field := range fields {
		values := h[field.name]
		if len(values) == 0 {
			continue
		}
		if t, ok := field.parse(values[0]); ok {
			h[field.name] = []string{field.format(max(t-past, 0))}
		}
	}
}

// fields is a table of what is read.
var fields = [...]struct {
	name   string
	parse  func(string) (time.Duration, bool)
	format func(time.Duration) string
}{
	{GRPC, parseGRPC, formatGRPC},
	{Envoy, parseMilliseconds, formatMilliseconds},
	{Own, parseDuration, time.Duration.String},
}

// units are gRPC's.
var units = map[byte]time.Duration{
	'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
}

// maxDigits is the longest number that gRPC allows.
const maxDigits = 8

func parseGRPC(s string) (time.Duration, bool) {
	if len(s) < 2 || len(s) > maxDigits+1 {
		return 0, false
	}
	unit, ok := units[s[len(s)-1]]
	if !ok {
		return 0, false
	}
	return multiple(s[:len(s)-1], unit)
}

func parseMilliseconds(s string) (time.Duration, bool) {
	d, ok := multiple(s, time.Millisecond)
	return d, ok && d > 0
}

// longest is what is not distinguished from longer times, so that a moment that far
// from now can be reckoned with.
const longest = 365 * 24 * time.Hour

// multiple reads a number of digits only.
func multiple(s string, unit time.Duration) (time.Duration, bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, false
	}
	if n > int64(longest/unit) {
		return longest, true
	}
	return time.Duration(n) * unit, true
}

func parseDuration(s string) (time.Duration, bool) {
	d, err := time.ParseDuration(s)
	return min(d, longest), err == nil && d >= 0
}

// formatGRPC uses the smallest unit in which the number has eight digits, as gRPC's
// clients do. It rounds down, so that nobody is given time that is not there.
func formatGRPC(d time.Duration) string {
	for _, unit := range []byte("numSM") {
		if n := int64(d / units[unit]); n < 1e8 {
			return strconv.FormatInt(n, 10) + string(unit)
		}
	}
	return strconv.FormatInt(min(int64(d/time.Hour), 1e8-1), 10) + "H"
}

func formatMilliseconds(d time.Duration) string {
	return strconv.FormatInt(max(d.Milliseconds(), 1), 10)
}
