package download

import (
	"time"
)

// meter turns bytes and time into lines of the log.
type meter struct {
	started, last time.Time
	from          int64
}

func newMeter(now time.Time, from int64) *meter {
	return &meter{started: now, last: now, from: from}
}

// due reports whether a line is due, and if so starts the next interval.
func (m *meter) due(now time.Time, every time.Duration) bool {
	if now.Sub(m.last) < every {
		return false
	}
	m.last = now
	return true
}

// attrs are the figures of a line. The rate counts this attempt's bytes only: what a
// resumed download found on disk was not received.
func (m *meter) attrs(now time.Time, p *partial) []any {
	took := now.Sub(m.started)
	attrs := []any{"bytes", p.size, "seconds", took.Round(time.Millisecond).Seconds()}
	if p.known.Size > 0 {
		attrs = append(attrs, "size", p.known.Size, "percent", p.size*100/p.known.Size)
	}
	if took > 0 {
		attrs = append(attrs, "bytes_per_second", int64(float64(p.size-m.from)/took.Seconds()))
	}
	return attrs
}
