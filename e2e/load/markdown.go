package load

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// Markdown writes the run as it goes into docs/benchmarks.md.
func (r Run) Markdown(w io.Writer) {
	m := r.Machine
	fmt.Fprintf(w, "%s, %d cores, %s, commit %s. Load average %.1f before and %.1f after. ", m.CPU, m.Cores, m.Go, m.Commit, m.LoadBefore, m.LoadAfter)
	fmt.Fprintf(w, "%d rounds of %s for each entry, the hops in turn; medians. Ratios are over Go's proxy in the same round.\n", r.Rounds, r.Duration)
	for _, hop := range Hops {
		if why, ok := r.Missing[hop]; ok {
			fmt.Fprintf(w, "\n**Left out: %s.** %s\n", hop, why)
		}
	}
	r.budgets(w)
	r.memoryTable(w)
	last := ""
	for _, s := range r.Series {
		if group := s.Cell.Group(); group != last {
			last = group
			s.head(w)
		}
		s.rows(w)
	}
}

func (r Run) budgets(w io.Writer) {
	all := r.Verdicts()
	if len(all) == 0 {
		return
	}
	fmt.Fprint(w, "\n### Budgets\n\n| hop | entry | budget | measured | limit | |\n|---|---|---|--:|--:|---|\n")
	for _, v := range all {
		met := "met"
		if !v.Met {
			met = "**missed**"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s |\n", v.Hop, v.Cell, v.Budget, inCell(v.Measured), v.Limit, met)
	}
}

func (r Run) memoryTable(w io.Writer) {
	fmt.Fprint(w, "\n### Memory resident\n\n| hop | before the first request | small requests, at most | all, at most |\n|---|--:|--:|--:|\n")
	for _, hop := range Hops {
		peak := int64(0)
		for _, s := range r.Series {
			for _, x := range s.Samples[hop] {
				peak = max(peak, x.Peak)
			}
		}
		if peak > 0 {
			fmt.Fprintf(w, "| %s | %s | %s | %s |\n", hop, megabytes(r.Idle[hop]), megabytes(r.SmallPeak(hop)), megabytes(peak))
		}
	}
}

func (s Series) head(w io.Writer) {
	fmt.Fprintf(w, "\n### %s\n\n", s.Cell.Group())
	switch s.Cell.Protocol {
	case Events:
		fmt.Fprintf(w, "%d streams, an event every 10 ms in each; the time from sending one to reading it.\n\n", s.Cell.Clients)
		fmt.Fprint(w, "| hop | delay p50 | p99 | added at p50 | CPU/1,000 | CPU ratio | resident |\n|---|--:|--:|--:|--:|--:|--:|\n")
		return
	case GRPC:
		fmt.Fprint(w, "As many connections as clients, at most 8.\n\n")
	}
	fmt.Fprint(w, "| clients | hop | requests/s | ratio | p50 | p99 | CPU/1,000 | CPU ratio | resident |\n|--:|---|--:|--:|--:|--:|--:|--:|--:|\n")
}

func (s Series) rows(w io.Writer) {
	for _, row := range s.Rows() {
		name := string(row.Hop)
		if row.Errors > 0 {
			name += fmt.Sprintf(" (**%d failed**: %s)", row.Errors, inCell(row.FirstError))
		}
		cpu, cpuRatio, peak := "–", "–", "–"
		if row.CPUPerThousand > 0 {
			cpu, cpuRatio, peak = millis(row.CPUPerThousand), hundredths(row.CPURatio), megabytes(row.Peak)
		}
		if s.Cell.Protocol == Events {
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s |\n", name, micros(row.P50), micros(row.P99), micros(row.Added), cpu, cpuRatio, peak)
			continue
		}
		fmt.Fprintf(w, "| %d | %s | %s | %s | %s | %s | %s | %s | %s |\n", s.Cell.Clients, name, thousands(row.Rate), hundredths(row.RateRatio), span(row.P50), span(row.P99), cpu, cpuRatio, peak)
	}
}

// inCell is text that stays in its cell of a table.
func inCell(text string) string {
	return strings.NewReplacer("|", "/", "\n", " ").Replace(text)
}

func percent(x float64) string { return fmt.Sprintf("%.1f %%", x*100) }

func hundredths(x float64) string {
	if x == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", x)
}

func micros(d time.Duration) string { return fmt.Sprintf("%.0f µs", float64(d)/1e3) }
func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }

// span is a time in the unit that it is read in.
func span(d time.Duration) string {
	if d < time.Millisecond {
		return micros(d)
	}
	return fmt.Sprintf("%.2f ms", float64(d)/1e6)
}

func megabytes(n int64) string { return fmt.Sprintf("%.0f MB", float64(n)/1e6) }

// thousands is a whole number with its thousands apart: 12,345.
func thousands(x float64) string {
	text := strconv.FormatInt(int64(math.Round(x)), 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
