package load

import (
	"cmp"
	"slices"
	"time"
)

// Sample is what came of one cell through one hop in one round.
type Sample struct {
	// Requests is how many were answered as they should be, Errors how many were
	// not, FirstError what the first of those met with.
	Requests   int64  `json:"requests"`
	Errors     int64  `json:"errors"`
	FirstError string `json:"firstError,omitempty"`
	// Elapsed is the time of all.
	Elapsed time.Duration `json:"elapsedNs"`
	// P50 and P99 are of a request's time, or of an event's delay.
	P50 time.Duration `json:"p50Ns"`
	P99 time.Duration `json:"p99Ns"`
	// CPU is the processor time of the hop's processes, Client that of the client.
	CPU    time.Duration `json:"cpuNs"`
	Client time.Duration `json:"clientCpuNs"`
	// Peak is the most memory that the hop's processes have had resident, in bytes.
	Peak int64 `json:"peakBytes"`
}

// Rate is requests per second.
func (s Sample) Rate() float64 {
	if s.Elapsed <= 0 {
		return 0
	}
	return float64(s.Requests) / s.Elapsed.Seconds()
}

// CPUPerThousand is the hop's processor time for 1,000 requests.
func (s Sample) CPUPerThousand() time.Duration {
	if s.Requests == 0 {
		return 0
	}
	return time.Duration(float64(s.CPU) * 1000 / float64(s.Requests))
}

// Series is a cell's samples of each hop, one for each round and in their order.
type Series struct {
	// Cell is what was measured.
	Cell Cell `json:"cell"`
	// Samples are those of each hop.
	Samples map[Hop][]Sample `json:"samples"`
}

// Machine is where and beside what it was measured.
type Machine struct {
	// CPU is the processor's name, Cores how many of it there are to use.
	CPU   string `json:"cpu"`
	Cores int    `json:"cores"`
	// Go is the version that all was built with.
	Go string `json:"go"`
	// Commit is the repository's.
	Commit string `json:"commit"`
	// LoadBefore and LoadAfter are the machine's load averages over a minute. The
	// suite's own share of the second is about one for each core.
	LoadBefore float64 `json:"loadBefore"`
	LoadAfter  float64 `json:"loadAfter"`
}

// Run is all that was measured.
type Run struct {
	Machine Machine `json:"machine"`
	// Started is when it began, Took how long it took.
	Started time.Time     `json:"started"`
	Took    time.Duration `json:"tookNs"`
	// Rounds and Duration are how often and how long each cell was measured.
	Rounds   int           `json:"rounds"`
	Duration time.Duration `json:"durationNs"`
	// Missing says of each hop that was left out why.
	Missing map[Hop]string `json:"missing,omitempty"`
	// Idle is the memory of each hop before the first request, in bytes.
	Idle map[Hop]int64 `json:"idleBytes"`
	// Series has the cells in the order in which they were measured.
	Series []Series `json:"series"`
}

// Row is a hop in a table: medians over the rounds.
type Row struct {
	Hop            Hop
	Rate           float64
	P50, P99       time.Duration
	CPUPerThousand time.Duration
	Peak           int64
	// RateRatio and CPURatio are over Go's proxy in the same round, which shares
	// with the hop what others did to the machine then. 0: there is none.
	RateRatio, CPURatio float64
	// Added is what the hop adds to the median of going direct in the same round.
	Added time.Duration
	// Errors are those of all rounds, FirstError the first.
	Errors     int64
	FirstError string
}

// Rows sums a series up, in the order of Hops.
func (s Series) Rows() []Row {
	var rows []Row
	for _, hop := range Hops {
		samples := s.Samples[hop]
		if len(samples) == 0 {
			continue
		}
		// A round without an answer is an error and no measurement.
		answered := slices.DeleteFunc(slices.Clone(samples), func(x Sample) bool { return x.Requests == 0 })
		row := Row{
			Hop:            hop,
			Rate:           median(answered, Sample.Rate),
			P50:            median(answered, func(x Sample) time.Duration { return x.P50 }),
			P99:            median(answered, func(x Sample) time.Duration { return x.P99 }),
			CPUPerThousand: median(answered, Sample.CPUPerThousand),
			RateRatio:      s.against(hop, GoProxy, func(x, base Sample) float64 { return ratio(x.Rate(), base.Rate()) }),
			Added:          time.Duration(s.against(hop, Direct, func(x, base Sample) float64 { return float64(x.P50 - base.P50) })),
			CPURatio: s.against(hop, GoProxy, func(x, base Sample) float64 {
				return ratio(float64(x.CPUPerThousand()), float64(base.CPUPerThousand()))
			}),
		}
		for _, x := range samples {
			row.Peak = max(row.Peak, x.Peak)
			row.Errors += x.Errors
			row.FirstError = cmp.Or(row.FirstError, x.FirstError)
		}
		rows = append(rows, row)
	}
	return rows
}

// against is the median, over rounds, of a hop compared with another in the same round.
func (s Series) against(hop, base Hop, compare func(x, base Sample) float64) float64 {
	var all []float64
	for i, x := range s.Samples[hop] {
		if i < len(s.Samples[base]) && x.Requests > 0 && s.Samples[base][i].Requests > 0 {
			all = append(all, compare(x, s.Samples[base][i]))
		}
	}
	return median(all, func(x float64) float64 { return x })
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// median is the middle one, of an even number the lower middle, 0 of none.
func median[S any, V cmp.Ordered](samples []S, value func(S) V) V {
	values := make([]V, 0, len(samples))
	for _, s := range samples {
		values = append(values, value(s))
	}
	slices.Sort(values)
	if len(values) == 0 {
		var zero V
		return zero
	}
	return values[(len(values)-1)/2]
}

// Percentile is the smallest of sorted times that p percent of them do not exceed.
func Percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	// Rounded up, by whole thousandths of a percent: 99 % of 200 is the 198th.
	rank := (int64(p*1000)*int64(len(sorted)) + 99_999) / 100_000
	return sorted[min(max(rank, 1), int64(len(sorted)))-1]
}
