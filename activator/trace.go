package activator

import "encoding/hex"

// Parent is the span that a request says it belongs to (W3C Trace Context).
type Parent struct {
	// Trace and Span are the two identifiers.
	Trace [16]byte
	Span  [8]byte
	// Flags are the trace flags.
	Flags byte
}

// Sampled reports whether the caller records the trace.
func (p Parent) Sampled() bool { return p.Flags&1 != 0 }

// The places in a traceparent such as
// 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.
const (
	traceAt, spanAt, flagsAt = 3, 36, 53
	traceparentLen           = 55
)

// ParseTraceparent reads the header's lines. One that is malformed, or there more
// than once, is as good as none. Versions to come may append fields to it.
func ParseTraceparent(lines []string) (Parent, bool) {
	if len(lines) != 1 || len(lines[0]) < traceparentLen {
		return Parent{}, false
	}
	s := lines[0]
	if s[traceAt-1] != '-' || s[spanAt-1] != '-' || s[flagsAt-1] != '-' {
		return Parent{}, false
	}
	if len(s) > traceparentLen && (s[:2] == "00" || s[traceparentLen] != '-') {
		return Parent{}, false
	}
	var p Parent
	var version, flags [1]byte
	ok := lowerHex(version[:], s[:2]) && lowerHex(p.Trace[:], s[traceAt:spanAt-1]) &&
		lowerHex(p.Span[:], s[spanAt:flagsAt-1]) && lowerHex(flags[:], s[flagsAt:traceparentLen])
	if !ok || version[0] == 0xff || p.Trace == [16]byte{} || p.Span == [8]byte{} {
		return Parent{}, false
	}
	p.Flags = flags[0]
	return p, true
}

func lowerHex(dst []byte, s string) bool {
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'F' {
			return false
		}
	}
	n, err := hex.Decode(dst, []byte(s))
	return err == nil && n == len(dst)
}
