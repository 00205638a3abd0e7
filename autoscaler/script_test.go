package autoscaler

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata")

// TestScripts plays the scripts in testdata, one second at a time, and compares
// every change of a decision with what they say.
//
//	policy minReplicas=0 target=10       the policy, from here on
//	t=12s ready=2 conc=14 waiting=0      what is observed, from here on
//	    -> 3 Burst Direct "…"            what is decided then
//	    t=20s -> 2 …                     what is decided where it changed between two lines
//
// Replicas follow the decisions; replicas=N is another writer. ready is a number,
// all, or left to startup=30s. A signal is a number, 14~ (partial), stale or
// absent; waiting may be ?. path=auto confirms the wanted path a second later,
// path=stuck never. leader=new hands the durable state on, as JSON.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			got := play(t, string(data))
			require.Equal(t, got, play(t, string(data)), "a second run decides alike")
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
			}
			require.Equal(t, string(data), got)
		})
	}
}

// stage is the world of a script.
type stage struct {
	t       *testing.T
	out     strings.Builder
	spec    v1alpha1.ScalerSpec
	state   State
	now     time.Duration
	seen    Observation
	values  map[v1alpha1.MetricName]string
	waiting string
	ready   string
	startup time.Duration
	asked   []time.Duration // when each replica was asked for
	stuck   bool
	last    string
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func play(t *testing.T, script string) string {
	s := &stage{t: t, now: -1, values: map[v1alpha1.MetricName]string{}, waiting: "0", ready: "all"}
	s.spec.ScaleTargetRef.Name = "iris-predictor"
	s.spec.RouteName = "iris-predictor"
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "    "):
			continue // an expectation
		case strings.HasPrefix(line, "policy "):
			for name, value := range fields(t, line[len("policy "):]) {
				s.policy(name, value)
			}
		case strings.HasPrefix(line, "t="):
			s.line(line)
			continue
		case line != "" && !strings.HasPrefix(line, "#"):
			t.Fatalf("what is %q?", line)
		}
		fmt.Fprintln(&s.out, line)
	}
	return s.out.String()
}

func (s *stage) line(line string) {
	at, rest, _ := strings.Cut(line, " ")
	until, err := time.ParseDuration(at[len("t="):])
	require.NoError(s.t, err)
	require.Greater(s.t, until, s.now, "time goes forward")
	for s.now >= 0 && s.now+time.Second < until {
		s.now += time.Second
		if decided, message := s.decide(); decided != s.last {
			fmt.Fprintf(&s.out, "    t=%s -> %s %q\n", s.now, decided, message)
			s.last = decided
		}
	}
	s.now = until
	for name, value := range fields(s.t, rest) {
		s.observe(name, value)
	}
	decided, message := s.decide()
	fmt.Fprintf(&s.out, "%s\n    -> %s %q\n", line, decided, message)
	s.last = decided
}

// decide plays one second. Replicas, reason and path make a change; the sentence
// counts seconds and would make one in each.
func (s *stage) decide() (decided, message string) {
	policy, errs := PolicyFrom(s.spec)
	require.Empty(s.t, errs)
	s.seen.Now = epoch.Add(s.now)
	s.seen.Ready = s.readyNow()
	s.seen.Readings = nil
	for _, name := range []v1alpha1.MetricName{v1alpha1.MetricConcurrency, v1alpha1.MetricRPS} {
		if value, ok := s.values[name]; ok {
			s.seen.Readings = append(s.seen.Readings, s.reading(name, value))
		}
	}
	s.seen.Waiting = Waiting{Known: s.waiting != "?", Why: "activator a-1 does not answer"}
	if s.seen.Waiting.Known {
		s.seen.Waiting.Requests = s.number(s.waiting)
	}
	before, err := json.Marshal(s.state)
	require.NoError(s.t, err)
	decision, next := Decide(policy, s.state, s.seen)
	after, err := json.Marshal(s.state)
	require.NoError(s.t, err)
	require.JSONEq(s.t, string(before), string(after), "the given state is untouched")
	s.state = next

	replicas := "leave"
	if decision.Replicas != nil {
		replicas = strconv.Itoa(int(*decision.Replicas))
		s.scale(*decision.Replicas)
	}
	s.seen.Path.Wanted = decision.Path
	if !s.stuck || decision.Path == v1alpha1.PathDirect {
		s.seen.Path.Mode, s.seen.Path.Confirmed = decision.Path, true
	} else {
		s.seen.Path.Mode, s.seen.Path.Confirmed = decision.Path, false
	}
	return fmt.Sprintf("%s %s %s", replicas, decision.Reason, decision.Path), decision.Message
}

func (s *stage) readyNow() int32 {
	switch {
	case s.startup > 0:
		var n int32
		for _, asked := range s.asked {
			if s.now-asked >= s.startup {
				n++
			}
		}
		return n
	case s.ready == "all":
		return s.seen.Replicas
	}
	return int32(s.number(s.ready))
}

func (s *stage) scale(n int32) {
	s.seen.Replicas = n
	for len(s.asked) < int(n) {
		s.asked = append(s.asked, s.now)
	}
	s.asked = s.asked[:n]
}

func (s *stage) reading(name v1alpha1.MetricName, value string) Reading {
	r := Reading{Metric: name, State: v1alpha1.SignalFresh, At: s.seen.Now, Over: time.Second}
	switch {
	case value == "absent":
		r.State, r.Why = v1alpha1.SignalAbsent, "the metrics API does not answer"
	case value == "stale":
		r.State, r.Why = v1alpha1.SignalStale, "11s old"
	case strings.HasSuffix(value, "~"):
		r.State, r.Why, r.Value = v1alpha1.SignalPartial, "3 of 4 pods report", s.number(strings.TrimSuffix(value, "~"))
	default:
		r.Value = s.number(value)
	}
	return r
}

func (s *stage) observe(name, value string) {
	switch name {
	case "conc":
		s.values[v1alpha1.MetricConcurrency] = value
	case "rps":
		s.values[v1alpha1.MetricRPS] = value
	case "waiting":
		s.waiting = value
	case "ready":
		s.ready, s.startup = value, 0
	case "startup":
		s.startup = s.duration(value).Duration
	case "replicas":
		s.scale(int32(s.number(value)))
	case "path":
		s.stuck = value == "stuck"
	case "split":
		s.seen.Path.Split = value == "true"
	case "unreachable":
		s.seen.Unreachable = value == "true"
	case "trouble":
		s.seen.Trouble = value
	case "unknown":
		s.seen.Unknown = value
	case "leader":
		data, err := json.Marshal(s.state.Durable())
		require.NoError(s.t, err)
		s.state = State{}
		require.NoError(s.t, json.Unmarshal(data, &s.state))
	default:
		s.t.Fatalf("unknown observation %q", name)
	}
}

func (s *stage) policy(name, value string) {
	count := func() *int32 { n := int32(s.number(value)); return &n }
	quantity := func() *resource.Quantity { q := resource.MustParse(value); return &q }
	metric := func(name v1alpha1.MetricName) *v1alpha1.ScalerMetric {
		for i := range s.spec.Metrics {
			if s.spec.Metrics[i].Name == name {
				return &s.spec.Metrics[i]
			}
		}
		full := int32(100)
		s.spec.Metrics = append(s.spec.Metrics, v1alpha1.ScalerMetric{Name: name, TargetUtilizationPercentage: &full})
		return &s.spec.Metrics[len(s.spec.Metrics)-1]
	}
	switch name {
	case "min":
		s.spec.MinReplicas = count()
	case "max":
		s.spec.MaxReplicas = *count()
	case "initial":
		s.spec.InitialReplicas = count()
	case "activation":
		s.spec.ActivationReplicas = count()
	case "conc":
		metric(v1alpha1.MetricConcurrency).Target = quantity()
	case "rps":
		metric(v1alpha1.MetricRPS).Target = quantity()
	case "limit":
		s.spec.ContainerConcurrency = int64(s.number(value))
	case "window":
		s.spec.StableWindow = s.duration(value)
	case "threshold":
		s.spec.BurstThresholdPercentage = count()
	case "up":
		s.spec.MaxScaleUpRate = quantity()
	case "down":
		s.spec.MaxScaleDownRate = quantity()
	case "delay":
		s.spec.ScaleDownDelay = s.duration(value)
	case "grace":
		s.spec.ScaleToZeroGracePeriod = s.duration(value)
	case "retention":
		s.spec.ScaleToZeroPodRetentionPeriod = s.duration(value)
	case "tbc":
		n := int64(s.number(value))
		s.spec.TargetBurstCapacity = &n
	case "deadline":
		s.spec.ProgressDeadline = s.duration(value)
	case "paused":
		s.spec.Paused = value == "true"
	default:
		s.t.Fatalf("unknown policy field %q", name)
	}
}

func (s *stage) number(value string) float64 {
	n, err := strconv.ParseFloat(value, 64)
	require.NoError(s.t, err)
	return n
}

func (s *stage) duration(value string) *metav1.Duration {
	d, err := time.ParseDuration(value)
	require.NoError(s.t, err)
	return &metav1.Duration{Duration: d}
}

// fields reads name=value pairs in order; a value may be quoted.
func fields(t *testing.T, line string) func(func(string, string) bool) {
	return func(yield func(string, string) bool) {
		for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
			name, rest, ok := strings.Cut(line, "=")
			require.True(t, ok, "no = in %q", line)
			var value string
			if quoted, err := strconv.QuotedPrefix(rest); err == nil {
				line = rest[len(quoted):]
				value, _ = strconv.Unquote(quoted)
			} else {
				value, line, _ = strings.Cut(rest, " ")
			}
			if !yield(name, value) {
				return
			}
		}
	}
}
