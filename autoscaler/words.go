package autoscaler

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// span writes a duration without its zero parts: 1m0s as 1m.
func span(d time.Duration) string {
	if d >= time.Second {
		d = d.Round(time.Second)
	}
	s := d.String()
	if s = strings.TrimSuffix(s, "m0s"); len(s) < len(d.String()) {
		s += "m"
	}
	if t, ok := strings.CutSuffix(s, "h0m"); ok {
		s = t + "h"
	}
	return s
}

// number writes a value with at most two decimals, small ones with more.
func number(v float64) string {
	if v != 0 && math.Abs(v) < 0.01 {
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
}

// replicas writes a count with its noun.
func replicas(n int32) string {
	if n == 1 {
		return "1 replica"
	}
	return strconv.Itoa(int(n)) + " replicas"
}

func requests(n float64) string {
	if n == 1 {
		return "1 request"
	}
	return number(n) + " requests"
}

func orUnknown(why string) string {
	if why == "" {
		return "no reading"
	}
	return why
}

func because(trouble string) string {
	if trouble == "" {
		return ""
	}
	return " (" + trouble + ")"
}

func stay(n int32) string {
	if n == 1 {
		return "1 replica stays"
	}
	return replicas(n) + " stay"
}

func carries(n int32) string {
	if n == 1 {
		return "1 replica carries"
	}
	return replicas(n) + " carry"
}

func waitingWords(n float64) string {
	if n == 1 {
		return "1 request is"
	}
	return requests(n) + " are"
}

func title(name v1alpha1.MetricName) string {
	switch name {
	case v1alpha1.MetricConcurrency:
		return "Concurrency"
	case v1alpha1.MetricRPS:
		return "The request rate"
	}
	return string(name)
}
