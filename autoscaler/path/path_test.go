package path

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata")

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TestScripts plays the scripts in testdata: a line changes what is observed and
// is followed by what the step makes of it, which is observed at the next line.
//
//	t=2s wanted=Activator a=ready a=ack:3 native=1
//	    Activator unconfirmed slice=a "…" look=1s
//
// An activator is ready, unready or gone, ack:N acknowledges generation N and
// refuse:N answers that it cannot.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			got := play(t, string(data))
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
			}
			require.Equal(t, string(data), got)
		})
	}
}

func play(t *testing.T, script string) string {
	var out strings.Builder
	in := Input{Generation: 1}
	pods := map[string]Activator{}
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "    ") {
			continue
		}
		fmt.Fprintln(&out, line)
		if !strings.HasPrefix(line, "t=") {
			continue
		}
		for _, field := range strings.Fields(line) {
			name, value, _ := strings.Cut(field, "=")
			observe(t, &in, pods, name, value)
		}
		in.Activators = nil
		for _, name := range slices.Sorted(maps.Keys(pods)) {
			in.Activators = append(in.Activators, pods[name])
		}
		step := Step(in)
		fmt.Fprintf(&out, "    %s\n", render(step))
		in.Status, in.Slice = step.Status, step.Slice
	}
	return out.String()
}

func observe(t *testing.T, in *Input, pods map[string]Activator, name, value string) {
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		require.NoError(t, err)
		return n
	}
	switch name {
	case "t":
		after, err := time.ParseDuration(value)
		require.NoError(t, err)
		in.Now = epoch.Add(after)
	case "wanted":
		in.Wanted = v1alpha1.PathMode(value)
	case "generation":
		in.Generation = int64(number(value))
	case "native":
		in.NativeReady = number(value)
	case "narrowed":
		in.Narrowed = value == "true"
	default:
		what, generation, _ := strings.Cut(value, ":")
		switch what {
		case "ready", "unready":
			pods[name] = Activator{Name: name, Address: "10.0.0." + fmt.Sprint(int(name[0]-'a')+1), Ready: what == "ready"}
		case "gone":
			delete(pods, name)
		case "ack", "refuse":
			in.Acks = slices.DeleteFunc(slices.Clone(in.Acks), func(a v1alpha1.ActivatorAck) bool { return a.Name == name })
			ack := v1alpha1.ActivatorAck{Name: name, Generation: int64(number(generation))}
			if what == "refuse" {
				ack.Message = "port 10001 is taken"
			}
			in.Acks = append(in.Acks, ack)
		default:
			t.Fatalf("what is %s=%s?", name, value)
		}
	}
}

func render(out Output) string {
	var b strings.Builder
	confirmed := "unconfirmed"
	if out.Status.Confirmed {
		confirmed = "confirmed"
	}
	fmt.Fprintf(&b, "%s %s", out.Status.Mode, confirmed)
	if out.Status.NarrowSelector {
		b.WriteString(" narrow")
	}
	if out.Slice != nil {
		var names []string
		for _, e := range out.Slice.Endpoints {
			names = append(names, e.Name)
		}
		fmt.Fprintf(&b, " slice=%s", strings.Join(names, ","))
	}
	if len(out.Gone) > 0 {
		fmt.Fprintf(&b, " gone=%s", strings.Join(out.Gone, ","))
	}
	if out.Status.Message != "" {
		fmt.Fprintf(&b, " %q", out.Status.Message)
	}
	if out.NextLook > 0 {
		fmt.Fprintf(&b, " look=%s", out.NextLook)
	}
	return b.String()
}

// service is a world in which everybody acts late: activators acknowledge, the
// deployer renders the selector and Kubernetes fills the slices some steps after
// they could.
type service struct {
	*rand.Rand
	in       Input
	selector bool // narrowed, as the Service has it
	native   int  // ready endpoints in the Service's own slices
	pods     int
}

// endpoints is what a request can reach.
func (s *service) endpoints() int {
	n := s.native
	if s.in.Slice != nil {
		for _, e := range s.in.Slice.Endpoints {
			for _, a := range s.in.Activators {
				if a.Address == e.Address && a.Ready {
					n++
				}
			}
		}
	}
	return n
}

func (s *service) others(t *testing.T) {
	if s.IntN(4) == 0 { // the deployer
		s.selector = s.in.Status.NarrowSelector
	}
	if s.IntN(2) == 0 { // the endpoint controller
		s.native = s.pods
		if s.selector {
			s.native = 0
		}
	}
	for _, a := range s.in.Activators { // activators
		if s.IntN(4) == 0 {
			observe(t, &s.in, nil, a.Name, fmt.Sprintf("ack:%d", s.in.Generation))
		}
	}
	// What the step sees of the Service's slices is as late as the caller's cache.
	if s.IntN(2) == 0 {
		s.in.NativeReady = s.native
	}
	s.in.Narrowed = s.selector
}

func FuzzAServiceIsNeverWithoutAnEndpoint(f *testing.F) {
	for seed := range uint64(30) {
		f.Add(seed)
	}
	modes := []v1alpha1.PathMode{"", v1alpha1.PathDirect, v1alpha1.PathActivator, v1alpha1.PathActivatorOnly}
	f.Fuzz(func(t *testing.T, seed uint64) {
		s := &service{Rand: rand.New(rand.NewPCG(seed, 1)), pods: 2, native: 2}
		s.in = Input{Now: epoch, Generation: 1, NativeReady: 2}
		for i := range 3 {
			s.in.Activators = append(s.in.Activators, Activator{Name: string(rune('a' + i)), Address: fmt.Sprintf("10.0.0.%d", i+1), Ready: true})
		}
		for range 300 {
			s.in.Now = s.in.Now.Add(time.Duration(200+s.IntN(2000)) * time.Millisecond)
			switch s.IntN(12) {
			case 0:
				s.in.Wanted = modes[s.IntN(len(modes))]
				s.in.Generation++
			case 1:
				s.in.Generation++
			case 2: // one activator comes or goes, the others stay
				i := s.IntN(2)
				s.in.Activators = slices.Clone(s.in.Activators)
				s.in.Activators[i].Ready = !s.in.Activators[i].Ready
			}
			// To see one's own write and the caches settle between two steps is what
			// the grace is for; the world acts several times in it.
			for range 12 {
				s.others(t)
			}
			s.in.NativeReady = s.native
			require.Positive(t, s.endpoints(), "before the step")
			out := Step(s.in)
			requireSound(t, s.in, out)
			require.Equal(t, out, Step(s.in), "deterministic")
			s.in.Status, s.in.Slice = out.Status, out.Slice
			require.Positive(t, s.endpoints(), "after the step %+v", out)
		}
	})
}

func requireSound(t *testing.T, in Input, out Output) {
	t.Helper()
	if out.Status.NarrowSelector {
		require.True(t, out.Status.Confirmed)
		require.NotNil(t, out.Slice)
		require.Equal(t, v1alpha1.PathActivatorOnly, out.Status.Mode)
	}
	if out.Status.Confirmed && out.Status.Mode == v1alpha1.PathDirect {
		require.Nil(t, in.Slice)
		require.Nil(t, out.Slice)
	}
	if out.Status.Confirmed && out.Status.Mode != v1alpha1.PathDirect {
		require.NotEmpty(t, out.Slice.Endpoints)
	}
	if !out.Status.Confirmed {
		require.NotEmpty(t, out.Status.Message, "an unfinished switch says what it waits for")
	}
	if out.Slice != nil {
		for _, e := range out.Slice.Endpoints {
			require.True(t, e.Ready)
			require.NotEmpty(t, e.Address)
		}
	}
}

func TestARouteWithoutAScalerFollowsItsOwnEndpoints(t *testing.T) {
	for name, c := range map[string]struct {
		in    Input
		split bool
		want  v1alpha1.PathMode
	}{
		"nothing ready":              {Input{}, false, v1alpha1.PathActivator},
		"one ready":                  {Input{NativeReady: 1}, false, v1alpha1.PathDirect},
		"narrowed, so nothing shows": {Input{Narrowed: true}, false, v1alpha1.PathActivator},
		"about to be narrowed":       {Input{NativeReady: 1, Status: v1alpha1.PathStatus{NarrowSelector: true}}, false, v1alpha1.PathActivator},
		"divided by weights":         {Input{NativeReady: 2}, true, v1alpha1.PathActivatorOnly},
	} {
		got, why := Unscaled(c.in, c.split)
		require.Equal(t, c.want, got, name)
		require.NotEmpty(t, why)
	}
}

func TestSinceMovesOnlyWithModeConfirmationAndReason(t *testing.T) {
	in := Input{Now: epoch, Generation: 1, NativeReady: 1}
	first := Step(in)
	require.Equal(t, metav1.NewMicroTime(epoch), first.Status.Since)
	in.Status, in.Now = first.Status, epoch.Add(Grace/2)
	require.Equal(t, first.Status, Step(in).Status)
	in.Now = epoch.Add(Grace)
	second := Step(in)
	require.Equal(t, metav1.NewMicroTime(in.Now), second.Status.Since)
	in.Status, in.Now = second.Status, epoch.Add(time.Minute)
	require.Equal(t, second.Status, Step(in).Status)
}
