package collect

import (
	"fmt"
	"time"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/autoscaler"
)

// FreshFor is how old a value may be. The adapter uses no reading older than 3 s;
// the wire has whole seconds, and a tick lies between.
const FreshFor = 5 * time.Second

// Snapshot is what was read, by namespace.
type Snapshot map[string]Namespace

// Namespace is what was read of one namespace.
type Namespace struct {
	// Values by metric and Scaler.
	Values map[string]map[string]Value
	// Errors of the metrics that could not be read.
	Errors map[string]string
}

// Value is one value of a metric.
type Value struct {
	// Value is the number.
	Value float64
	// At is when it was measured; Over the time it is a mean of, 0 where not said.
	At   time.Time
	Over time.Duration
}

// Of returns the readings of a Scaler that has the given number of ready replicas.
// The snapshot has to be of its namespace.
func (n Namespace) Of(scaler string, ready int32, now time.Time) ([]autoscaler.Reading, autoscaler.Waiting) {
	readings := []autoscaler.Reading{
		n.reading(v1alpha1.MetricConcurrency, Concurrency, scaler, ready, now),
		n.reading(v1alpha1.MetricRPS, RPS, scaler, ready, now),
	}
	var waiting autoscaler.Waiting
	value, why := n.value(Waiting, scaler, now)
	if why == "" {
		waiting = autoscaler.Waiting{Known: true, Requests: value.Value}
	} else {
		waiting.Why = why
	}
	return readings, waiting
}

func (n Namespace) reading(name v1alpha1.MetricName, metric, scaler string, ready int32, now time.Time) autoscaler.Reading {
	r := autoscaler.Reading{Metric: name, State: v1alpha1.SignalAbsent}
	value, why := n.value(metric, scaler, now)
	if why != "" {
		r.Why = why
		if !value.At.IsZero() {
			r.State = v1alpha1.SignalStale
		}
		return r
	}
	r.State, r.Value, r.At, r.Over = v1alpha1.SignalFresh, value.Value, value.At, value.Over
	if ready == 0 {
		return r
	}
	reporting, why := n.value(ReportingPods, scaler, now)
	switch {
	case why != "":
		r.State, r.Why = v1alpha1.SignalPartial, why
	case reporting.Value < float64(ready):
		r.State, r.Why = v1alpha1.SignalPartial, fmt.Sprintf("%.0f of %d ready pods report", reporting.Value, ready)
	}
	return r
}

// value returns a value, or why it cannot be used; one that is too old comes with both.
func (n Namespace) value(metric, scaler string, now time.Time) (Value, string) {
	if why, failed := n.Errors[metric]; failed {
		return Value{}, why
	}
	values, read := n.Values[metric]
	if !read {
		return Value{}, metric + " was not read"
	}
	value, ok := values[scaler]
	if !ok {
		return Value{}, "the metrics adapter has no value of " + metric
	}
	if age := now.Sub(value.At); age > FreshFor {
		return value, fmt.Sprintf("%s is %s old", metric, age.Round(time.Second))
	}
	return value, ""
}
