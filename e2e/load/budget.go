package load

import (
	"fmt"
	"time"
)

// eventBudget is how much later than without the hop an event may come.
const eventBudget = 5 * time.Millisecond

// Verdict is a budget and what became of it.
type Verdict struct {
	// Hop is whose budget it is, Cell where it was measured.
	Hop  Hop
	Cell string
	// Budget is in words; Measured and Limit are the numbers, with their unit.
	Budget, Measured, Limit string
	// Met says whether it holds.
	Met bool
}

// ours are the hops that have budgets. Two in a row cost two hops.
var ours = []Hop{Activator, Agent}

// Verdicts judges what has been measured. Nothing is said of what has not.
func (r Run) Verdicts() []Verdict {
	var all []Verdict
	for _, hop := range ours {
		for _, s := range r.Series {
			all = append(all, s.verdicts(hop)...)
		}
		all = append(all, r.memory(hop)...)
	}
	return all
}

func (s Series) verdicts(hop Hop) []Verdict {
	var row, plain *Row
	rows := s.Rows()
	for i := range rows {
		switch rows[i].Hop {
		case hop:
			row = &rows[i]
		case GoProxy:
			plain = &rows[i]
		}
	}
	if row == nil {
		return nil
	}
	c := s.Cell
	verdict := func(budget, measured, limit string, met bool) Verdict {
		return Verdict{Hop: hop, Cell: c.Name(), Budget: budget, Measured: measured, Limit: limit, Met: met && row.Errors == 0}
	}
	var all []Verdict
	if row.Errors > 0 {
		all = append(all, verdict("no request fails", fmt.Sprintf("%d failed: %s", row.Errors, row.FirstError), "0", false))
	}
	if c.Protocol == Events {
		if len(s.Samples[Direct]) > 0 {
			all = append(all, verdict("events are flushed", "+"+millis(row.Added)+" at the median", millis(eventBudget), row.Added <= eventBudget))
		}
		return all
	}
	if plain == nil || !c.KeepAlive || c.Body > 1<<10 {
		return all
	}
	switch c.Clients {
	case 1:
		if len(s.Samples[Direct]) > 0 {
			// The difference to Go's proxy is taken round by round: a difference of two
			// medians would compare rounds that the machine treated differently.
			more := time.Duration(s.against(hop, GoProxy, func(x, base Sample) float64 { return float64(x.P50 - base.P50) }))
			all = append(all, verdict("added to the median, one client", micros(plain.Added+more), "≤ "+micros(plain.Added), more <= 0))
		}
	case 32:
		all = append(all, verdict("throughput, 32 clients", percent(row.RateRatio), "≥ 100 % of Go's proxy", row.RateRatio >= 1))
	}
	return append(all, verdict("CPU for 1,000 requests", percent(row.CPURatio), "≤ 100 % of Go's proxy", row.CPURatio <= 1))
}

// memory judges the most that was resident under small requests.
func (r Run) memory(hop Hop) []Verdict {
	mine, plain := r.SmallPeak(hop), r.SmallPeak(GoProxy)
	if mine == 0 || plain == 0 {
		return nil
	}
	v := Verdict{Hop: hop, Cell: "small requests", Budget: "memory resident", Measured: megabytes(mine), Limit: "≤ " + megabytes(plain), Met: mine <= plain}
	grown, limit := mine-r.Idle[hop], plain-r.Idle[GoProxy]
	w := Verdict{Hop: hop, Cell: "small requests", Budget: "memory that the load adds", Measured: megabytes(grown), Limit: "≤ " + megabytes(limit), Met: grown <= limit}
	return []Verdict{v, w}
}

// SmallPeak is the most memory that a hop had under requests of HTTP/1.1 of at most
// 1 KB with keep-alive, 0 if there were none.
func (r Run) SmallPeak(hop Hop) int64 {
	peak := int64(0)
	for _, s := range r.Series {
		if s.Cell.Protocol != HTTP1 || s.Cell.Body > 1<<10 || !s.Cell.KeepAlive {
			continue
		}
		for _, x := range s.Samples[hop] {
			peak = max(peak, x.Peak)
		}
	}
	return peak
}
