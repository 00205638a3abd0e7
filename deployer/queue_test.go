package deployer

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// queued renders an InferenceService with these annotations of ours.
func queued(t testing.TB, annotations map[string]string) Objects {
	t.Helper()
	isvc := &v1beta1.InferenceService{ObjectMeta: metav1.ObjectMeta{Name: "iris", Namespace: "models", Annotations: map[string]string{}}}
	for name, text := range annotations {
		isvc.Annotations[ownPrefix+name] = text
	}
	seconds := int64(60)
	isvc.Spec.Predictor.TimeoutSeconds = &seconds
	c := v1beta1.Container{Image: "registry.example.com/own:1"}.Core()
	isvc.Spec.Predictor.Containers = append(isvc.Spec.Predictor.Containers, c)
	o, err := Render(Input{
		Service: isvc, Component: Predictor, Config: DefaultConfig(),
		Revision: Revision{Name: "iris-predictor-00001", Number: 1}, Ports: map[int32]int32{80: 10000},
	})
	require.NoError(t, err)
	return o
}

// knobsOf reads queue and timeouts out of the rendered route.
func knobsOf(t testing.TB, o Objects) string {
	t.Helper()
	text, err := yaml.Marshal(map[string]any{"queue": o.Route.Spec.Queue, "timeouts": o.Route.Spec.Timeouts})
	require.NoError(t, err)
	return string(text)
}

func TestAnnotationsSayHowRequestsWait(t *testing.T) {
	o := queued(t, map[string]string{
		"queue-max-requests": "500", "queue-max-bytes": "64Mi", "queue-client-header": "X-User",
		"queue-priority-header": "X-Priority", "queue-priority-high": "gold, silver", "queue-priority-low": "batch",
		"queue-timeout": "2m", "first-byte-timeout": "30s", "idle-timeout": "1500ms",
	})
	require.Empty(t, o.Warnings)
	require.Equal(t, `queue:
  clientHeader: X-User
  maxBytes: 64Mi
  maxRequests: 500
  priority:
    header: X-Priority
    high:
    - gold
    - silver
    low:
    - batch
timeouts:
  firstByte: 30s
  idle: 1.5s
  queue: 2m0s
  total: 1m0s
`, knobsOf(t, o))
	plain := queued(t, nil)
	require.Equal(t, plain.Deployment.Spec.Template, o.Deployment.Spec.Template, "no pod is replaced for it")
	require.Nil(t, plain.Route.Spec.Queue)
}

func TestAnnotationsThatMakeNoSenseAreIgnoredWithTheirRemedy(t *testing.T) {
	const unset = "queue: null\ntimeouts:\n  total: 1m0s\n"
	for name, c := range map[string]struct {
		annotations map[string]string
		about, says string
	}{
		"a number that is none":         {map[string]string{"queue-max-requests": "many"}, "queue-max-requests", "use a whole number from 1 to 1000000"},
		"nobody may wait":               {map[string]string{"queue-max-requests": "0"}, "queue-max-requests", "from 1"},
		"bytes without a number":        {map[string]string{"queue-max-bytes": "lots"}, "queue-max-bytes", "such as 64Mi"},
		"more bytes than there are":     {map[string]string{"queue-max-bytes": "1Ei"}, "queue-max-bytes", "to 1Ti"},
		"a size of a very long number":  {map[string]string{"queue-max-bytes": "1e99999999"}, "queue-max-bytes", "such as 64Mi"},
		"a spelling the schema refuses": {map[string]string{"queue-max-bytes": "1e0009"}, "queue-max-bytes", "such as 64Mi"},
		"bytes below none":              {map[string]string{"queue-max-bytes": "-1Mi"}, "queue-max-bytes", "from 0"},
		"no header's name":              {map[string]string{"queue-client-header": "X User"}, "queue-client-header", "the name of a request header"},
		"the connection's own":          {map[string]string{"queue-client-header": "Host"}, "queue-client-header", "the name of a request header"},
		"a misspelt name":               {map[string]string{"idel-timeout": "30s"}, "idel-timeout", "rawserve.dev/idle-timeout"},
		"a time without a unit":         {map[string]string{"queue-timeout": "30"}, "queue-timeout", "such as 30s"},
		"longer than a day":             {map[string]string{"idle-timeout": "25h"}, "idle-timeout", "to 24h"},
		"a time that is over":           {map[string]string{"first-byte-timeout": "-1s"}, "first-byte-timeout", "from 1ms"},
		"priorities without header":     {map[string]string{"queue-priority-high": "gold"}, "queue-priority-header", "name the request header"},
		"a header without values":       {map[string]string{"queue-priority-header": "X-P"}, "queue-priority-header", "set one of them"},
		"high and low":                  {map[string]string{"queue-priority-header": "X-P", "queue-priority-high": "a,b", "queue-priority-low": "B"}, "queue-priority-low", `"B" is high as well`},
	} {
		t.Run(name, func(t *testing.T) {
			o := queued(t, c.annotations)
			require.Equal(t, unset, knobsOf(t, o))
			require.Len(t, o.Warnings, 1)
			require.Equal(t, annotationField(ownPrefix+c.about), o.Warnings[0].Field)
			require.Contains(t, o.Warnings[0].Message, c.says)
		})
	}
}

func TestOneBadAnnotationSpoilsNoOther(t *testing.T) {
	o := queued(t, map[string]string{
		"queue-priority-header": "X-P", "queue-priority-high": "gold", "queue-priority-low": strings.Repeat("x,", 20) + "y", "queue-timeout": "1m",
	})
	require.Len(t, o.Warnings, 1)
	require.Equal(t, "queue:\n  priority:\n    header: X-P\n    high:\n    - gold\ntimeouts:\n  queue: 1m0s\n  total: 1m0s\n", knobsOf(t, o))
}

func TestSizesAreSpeltAsTheSchemaTakesThem(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "0.5": "1", "00064Mi": "64Mi", "1.5Gi": "1536Mi", "1000k": "1M", "1Ti": "1Ti", "0.001Ki": "2",
	} {
		q, ok := queueBytes(text)
		require.True(t, ok, text)
		require.Equal(t, want, q.String(), text)
	}
}

// TestTheComponentsKnobsWinAndMakeNoRevision: a revision restarts every pod.
func TestTheComponentsKnobsWinAndMakeNoRevision(t *testing.T) {
	isvc := &v1beta1.InferenceService{ObjectMeta: metav1.ObjectMeta{Name: "iris", Namespace: "models"}}
	isvc.Spec.Predictor.Containers = append(isvc.Spec.Predictor.Containers, v1beta1.Container{Image: "registry.example.com/own:1"}.Core())
	in := Input{
		Service: isvc, Component: Predictor, Config: DefaultConfig(),
		Revision: Revision{Name: "iris-predictor-00001", Number: 1}, Ports: map[int32]int32{80: 10000},
	}
	before, err := RevisionHash(in)
	require.NoError(t, err)
	isvc.Annotations = map[string]string{ownPrefix + "queue-timeout": "1m", ownPrefix + "idle-timeout": "20m"}
	isvc.Spec.Predictor.Annotations = map[string]string{ownPrefix + "queue-timeout": "2m"}
	after, err := RevisionHash(in)
	require.NoError(t, err)
	require.Equal(t, before, after)
	o, err := Render(in)
	require.NoError(t, err)
	require.Equal(t, "queue: null\ntimeouts:\n  idle: 20m0s\n  queue: 2m0s\n", knobsOf(t, o))
	require.Equal(t, int64(605), *o.Deployment.Spec.Template.Spec.TerminationGracePeriodSeconds, "only timeout makes it longer")
}

// sizesInRoutes is what the schema of InferenceRoute takes of a quantity.
var sizesInRoutes = regexp.MustCompile(`^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?[0-9]{1,3}))?$`)

// FuzzQueueAnnotations: whatever is written, what is rendered is within the bounds
// of the InferenceRoute's schema.
func FuzzQueueAnnotations(f *testing.F) {
	f.Add("500", "64Mi", "X-User", "gold,silver", "batch", "2m")
	f.Add("-1", "1e30", "a b", ",", "gold", "1ns")
	f.Add("007", "1e0009", "Host", "a\x7f", "A,a", "1h1ms1ns")
	f.Fuzz(func(t *testing.T, requests, bytes, header, high, low, timeout string) {
		w := &workload{allAnnotations: map[string]string{}}
		for name, text := range map[string]string{
			"queue-max-requests": requests, "queue-max-bytes": bytes, "queue-client-header": header, "queue-priority-header": header,
			"queue-priority-high": high, "queue-priority-low": low, "queue-timeout": timeout, "idle-timeout": timeout,
		} {
			w.allAnnotations[ownPrefix+name] = text
		}
		require.NoError(t, w.readQueue())
		q := w.knobs.Queue
		require.True(t, q.MaxRequests >= 0 && q.MaxRequests <= 1e6)
		if q.MaxBytes != nil {
			require.GreaterOrEqual(t, q.MaxBytes.Sign(), 0)
			require.LessOrEqual(t, len(q.MaxBytes.String()), 64)
			require.Regexp(t, sizesInRoutes, q.MaxBytes.String())
		}
		require.True(t, q.ClientHeader == "" || headerName(q.ClientHeader))
		if p := q.Priority; p != nil {
			require.True(t, headerName(p.Header))
			require.NotZero(t, len(p.High)+len(p.Low))
			require.LessOrEqual(t, len(p.High), maxPriorityValues)
			require.LessOrEqual(t, len(p.Low), maxPriorityValues)
			for _, v := range append(p.High, p.Low...) {
				require.True(t, headerValues.MatchString(v) && len(v) <= maxPriorityValue)
			}
		}
		for _, d := range []metav1.Duration{w.knobs.Timeouts.Queue, w.knobs.Timeouts.Idle} {
			require.True(t, d.Duration == 0 || d.Duration >= time.Millisecond && d.Duration <= 24*time.Hour)
		}
		require.NotNil(t, routeTimeouts(rawservev1alpha1.RouteTimeouts{Total: metav1.Duration{Duration: 1}}))
	})
}
