package api_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/rawserve/rawserve/api/client/clientset/versioned"
	"github.com/rawserve/rawserve/internal/apiservertest"
)

var (
	scalers = schema.GroupVersionResource{Group: "rawserve.dev", Version: "v1alpha1", Resource: "scalers"}
	routes  = schema.GroupVersionResource{Group: "rawserve.dev", Version: "v1alpha1", Resource: "inferenceroutes"}
)

// scaler returns a manifest with these fields beside the required ones.
func scaler(fields string) string {
	return "{apiVersion: rawserve.dev/v1alpha1, kind: Scaler, metadata: {generateName: a-}, spec: {scaleTargetRef: {name: a}, routeName: a, " + fields + "}}"
}

// route returns a manifest with these fields beside the required ones.
func route(fields string) string {
	return "{apiVersion: rawserve.dev/v1alpha1, kind: InferenceRoute, metadata: {generateName: a-}, spec: {serviceName: a, " +
		"ports: [{servicePort: 80, targetPort: 8080, listenPort: 10000}], " + fields + "}}"
}

// target returns a route's only target with these fields beside the required ones.
func target(fields string) string {
	return "targets: [{revision: a-00001, deploymentName: a, podSelector: {app: a}, weight: 100, " + fields + "}]"
}

// slot is a place in an object whose Go type decodes itself. One object there that
// it cannot decode fails every list of its kind, and with it every controller.
type slot struct {
	// name is the field's path.
	name     string
	resource schema.GroupVersionResource
	// manifest returns an object with the value, which is JSON, in place.
	manifest func(value string) string
	// status is true where the manifest is a patch of the status.
	status bool
	// list reads all objects of the kind as the controllers do.
	list func(*testing.T, versioned.Interface, string) error
}

func listScalers(t *testing.T, c versioned.Interface, namespace string) error {
	_, err := c.RawserveV1alpha1().Scalers(namespace).List(t.Context(), metav1.ListOptions{})
	return err
}

func listRoutes(t *testing.T, c versioned.Interface, namespace string) error {
	_, err := c.RawserveV1alpha1().InferenceRoutes(namespace).List(t.Context(), metav1.ListOptions{})
	return err
}

func listServices(t *testing.T, c versioned.Interface, namespace string) error {
	_, err := c.ServingV1beta1().InferenceServices(namespace).List(t.Context(), metav1.ListOptions{})
	return err
}

func listRuntimes(t *testing.T, c versioned.Interface, namespace string) error {
	_, err := c.ServingV1alpha1().ServingRuntimes(namespace).List(t.Context(), metav1.ListOptions{})
	return err
}

func durations() []slot {
	var out []slot
	for _, field := range []string{"stableWindow", "scaleDownDelay", "scaleToZeroGracePeriod", "scaleToZeroPodRetentionPeriod", "progressDeadline"} {
		out = append(out, slot{name: "spec." + field, resource: scalers, list: listScalers,
			manifest: func(v string) string { return scaler(field + ": " + v) }})
	}
	for _, field := range []string{"queue", "firstByte", "idle", "total"} {
		out = append(out, slot{name: "spec.timeouts." + field, resource: routes, list: listRoutes,
			manifest: func(v string) string { return route(target("") + ", timeouts: {" + field + ": " + v + "}") }})
	}
	return append(out, slot{name: "spec.targets[0].progressDeadline", resource: routes, list: listRoutes,
		manifest: func(v string) string { return route(target("progressDeadline: " + v)) }})
}

func quantities() []slot {
	return []slot{
		{name: "spec.maxScaleUpRate", resource: scalers, list: listScalers,
			manifest: func(v string) string { return scaler("maxScaleUpRate: " + v) }},
		{name: "spec.maxScaleDownRate", resource: scalers, list: listScalers,
			manifest: func(v string) string { return scaler("maxScaleDownRate: " + v) }},
		{name: "spec.metrics[0].target", resource: scalers, list: listScalers,
			manifest: func(v string) string { return scaler("metrics: [{name: rps, target: " + v + "}]") }},
		{name: "spec.queue.maxBytes", resource: routes, list: listRoutes,
			manifest: func(v string) string { return route(target("") + ", queue: {maxBytes: " + v + "}") }},
		{name: "spec.predictor.model.resources.limits.cpu", resource: isvcs, list: listServices,
			manifest: func(v string) string {
				return isvc("{predictor: {model: {modelFormat: {name: a}, resources: {limits: {cpu: " + v + "}}}}}")
			}},
		{name: "spec.predictor.volumes[0].emptyDir.sizeLimit", resource: isvcs, list: listServices,
			manifest: func(v string) string {
				return isvc("{predictor: {sklearn: {}, volumes: [{name: a, emptyDir: {sizeLimit: " + v + "}}]}}")
			}},
		{name: "spec.containers[0].resources.requests.memory", resource: runtimes, list: listRuntimes,
			manifest: func(v string) string {
				return servingRuntime("{containers: [{name: a, resources: {requests: {memory: " + v + "}}}]}")
			}},
	}
}

func ports() []slot {
	return []slot{
		{name: "spec.predictor.sklearn.readinessProbe.httpGet.port", resource: isvcs, list: listServices,
			manifest: func(v string) string {
				return isvc("{predictor: {sklearn: {readinessProbe: {httpGet: {port: " + v + "}}}}}")
			}},
		{name: "spec.predictor.deploymentStrategy.rollingUpdate.maxSurge", resource: isvcs, list: listServices,
			manifest: func(v string) string {
				return isvc("{predictor: {sklearn: {}, deploymentStrategy: {rollingUpdate: {maxSurge: " + v + "}}}}")
			}},
		{name: "spec.workerSpec.containers[0].livenessProbe.tcpSocket.port", resource: runtimes, list: listRuntimes,
			manifest: func(v string) string {
				return servingRuntime("{containers: [{name: a}], workerSpec: {containers: [{name: a, livenessProbe: {tcpSocket: {port: " + v + "}}}]}}")
			}},
	}
}

func times() []slot {
	return []slot{
		{name: "status.lastScaleTime", resource: scalers, status: true, list: listScalers,
			manifest: func(v string) string { return `{"status": {"lastScaleTime": ` + v + `}}` }},
		{name: "status.conditions[0].lastTransitionTime", resource: isvcs, status: true, list: listServices,
			manifest: func(v string) string {
				return `{"status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": ` + v + `}]}}`
			}},
		{name: "status.modelStatus.lastFailureInfo.time", resource: isvcs, status: true, list: listServices,
			manifest: func(v string) string {
				return `{"status": {"modelStatus": {"lastFailureInfo": {"time": ` + v + `}}}}`
			}},
	}
}

func microTimes() []slot {
	return []slot{{name: "status.path.since", resource: routes, status: true, list: listRoutes,
		manifest: func(v string) string { return `{"status": {"path": {"since": ` + v + `}}}` }}}
}

func integers() []slot {
	return []slot{
		{name: "spec.minReplicas", resource: scalers, list: listScalers,
			manifest: func(v string) string { return scaler("minReplicas: " + v) }},
		{name: "spec.containerConcurrency", resource: scalers, list: listScalers,
			manifest: func(v string) string { return scaler("containerConcurrency: " + v) }},
		{name: "spec.predictor.batcher.timeout", resource: isvcs, list: listServices,
			manifest: func(v string) string { return isvc("{predictor: {sklearn: {}, batcher: {timeout: " + v + "}}}") }},
		{name: "spec.predictor.priority", resource: isvcs, list: listServices,
			manifest: func(v string) string { return isvc("{predictor: {sklearn: {}, priority: " + v + "}}") }},
	}
}

// cabinet puts values into slots.
type cabinet struct {
	cluster
	typed versioned.Interface
	// named has the object of each kind whose status is written.
	named map[schema.GroupVersionResource]string
}

func openCabinet(t *testing.T) cabinet {
	t.Helper()
	config := apiservertest.Start(t)
	client, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	typed, err := versioned.NewForConfig(config)
	require.NoError(t, err)
	c := cabinet{cluster{client, apiservertest.Namespace(t, config)}, typed, map[schema.GroupVersionResource]string{}}
	for resource, manifest := range map[schema.GroupVersionResource]string{
		scalers: scaler("paused: true"), routes: route(target("")), isvcs: isvc("{predictor: {sklearn: {}}}"),
	} {
		created, err := c.create(t, resource, manifest)
		require.NoError(t, err)
		c.named[resource] = created.GetName()
	}
	return c
}

// put writes a value and removes it again. It says whether the server took it, and
// fails the test if the typed client could not read it then.
func (c cabinet) put(t *testing.T, s slot, value string) error {
	t.Helper()
	resource := c.Resource(s.resource).Namespace(c.namespace)
	var stored *unstructured.Unstructured
	var err error
	if s.status {
		stored, err = resource.Patch(t.Context(), c.named[s.resource], types.MergePatchType, []byte(s.manifest(value)), metav1.PatchOptions{}, "status")
	} else {
		stored, err = c.create(t, s.resource, s.manifest(value))
	}
	if err != nil {
		require.Truef(t, apierrors.IsInvalid(err), "%s: %s: %v", s.name, value, err)
		return err
	}
	listed := s.list(t, c.typed, c.namespace)
	if s.status {
		_, err = resource.Patch(t.Context(), c.named[s.resource], types.MergePatchType, []byte(`{"status": null}`), metav1.PatchOptions{}, "status")
	} else {
		err = resource.Delete(t.Context(), stored.GetName(), metav1.DeleteOptions{})
	}
	require.NoError(t, err)
	require.NoErrorf(t, listed, "%s: %s was accepted and cannot be read", s.name, value)
	return nil
}

func TestWhatClientsCannotReadIsRefused(t *testing.T) {
	c := openCabinet(t)
	for what, test := range map[string]struct {
		slots  []slot
		values []string
	}{
		"durations": {durations(), []string{`"soon"`, `""`, `"1"`, `"1d"`, `"90 s"`, `"1h 5m"`, `".s"`, `"9999999h"`, `"999999h999999h999999h"`, `"-5s"`, `60`}},
		"quantities": {quantities(), []string{`"much"`, `""`, `"1e1.5"`, `"1e.5"`, `"1e99999999999999999999"`, `"1e2147483647"`, `"1KiB"`,
			`"` + strings.Repeat("9", 100) + `"`}},
		"integers or text": {ports(), []string{"99999999999", "2147483648", "-2147483649", "1e19", "1.5"}},
		"times": {times(), []string{`"2020-01-01t00:00:00z"`, `"2020-01-01T00:00:00x5Z"`, `"2020-01-01T00:00:00+99:99"`, `"2020-01-01T00:00:00+24:01"`,
			`"2020-01-01T00:00:00Ztrue"`, `"2020-02-31T00:00:00Z"`, `"2020-01-01T24:00:00Z"`, `"2020-01-01"`, `""`}},
		"times of a microsecond": {microTimes(), []string{`"2020-01-01T00:00:00Z"`, `"2020-01-01T00:00:00.5Z"`, `"2020-01-01t00:00:00.000000z"`, `""`}},
		"integers":               {integers(), []string{"9223372036854775808", "-1e19", "1.5", "3.0000000001"}},
	} {
		t.Run(what, func(t *testing.T) {
			for _, s := range test.slots {
				for _, value := range test.values {
					err := c.put(t, s, value)
					if err == nil {
						t.Errorf("%s: %s was accepted", s.name, value)
						continue
					}
					require.ErrorContains(t, err, s.name)
				}
			}
		})
	}
}

func TestWhatClientsWriteIsTaken(t *testing.T) {
	c := openCabinet(t)
	for what, test := range map[string]struct {
		slots  []slot
		values []string
	}{
		"durations":              {durations()[5:], []string{`"0s"`, `"0"`, `"90s"`, `"1h0m0s"`, `"1m30.5s"`, `"100ms"`, `"1.5µs"`, `"5ns"`, `"596523h14m7s"`}},
		"quantities":             {quantities()[3:], []string{`"1"`, `1`, `"500m"`, `"1.5Gi"`, `"1e3"`, `"12E6"`, `"1E"`, `"100n"`, `"9223372036854775807"`}},
		"integers or text":       {ports(), []string{"8080", `"http"`, `"25%"`, "-1"}},
		"times":                  {times(), []string{`"2020-01-01T00:00:00Z"`, `"2020-02-29T23:59:59.123456789+05:30"`}},
		"times of a microsecond": {microTimes(), []string{`"2020-01-01T00:00:00.000000Z"`, `"2020-01-01T00:00:00.123456-08:00"`}},
		"integers":               {integers(), []string{"2", "1000"}},
	} {
		t.Run(what, func(t *testing.T) {
			for _, s := range test.slots {
				for _, value := range test.values {
					require.NoErrorf(t, c.put(t, s, value), "%s: %s", s.name, value)
				}
			}
		})
	}
}

// TestWhateverIsTakenCanBeListed tries values that are nearly right.
func TestWhateverIsTakenCanBeListed(t *testing.T) {
	c := openCabinet(t)
	const tries = 40
	for what, test := range map[string]struct {
		slots []slot
		seeds []string
		// letters are what seeds are changed with.
		letters string
	}{
		"durations":              {durations()[5:], []string{"1h0m0s", "90s", "1.5s", "100ms", "0s", "1.5µs"}, "0129.hmsnuµ+-e "},
		"quantities":             {quantities()[3:], []string{"1", "500m", "1.5Gi", "1e3", "0.01", "12E6", "-1k"}, "019.eE+-mkKMGi"},
		"integers or text":       {ports(), []string{"80", "2147483647", "-2147483648"}, "0129-.e"},
		"times":                  {times(), []string{"2020-01-01T00:00:00Z", "2020-12-31T23:59:59.5+05:30"}, "0129:.TtZz+-"},
		"times of a microsecond": {microTimes(), []string{"2020-01-01T00:00:00.000000Z", "2020-12-31T23:59:59.123456+05:30"}, "0129:.TtZz+-"},
		"integers":               {integers(), []string{"2", "1000", "2147483647", "9223372036854775807"}, "0129-.e"},
	} {
		t.Run(what, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			taken := 0
			for i := range tries {
				s := test.slots[i%len(test.slots)]
				text := spoil(random, test.seeds[random.IntN(len(test.seeds))], test.letters)
				value := strconv.Quote(text)
				if strings.HasPrefix(what, "integers") {
					if _, err := strconv.ParseFloat(text, 64); err != nil {
						continue
					}
					value = text
				}
				if c.put(t, s, value) == nil {
					taken++
				}
			}
			require.Positive(t, taken, "a test that never gets a value in shows nothing")
		})
	}
}

// spoil makes none to two small changes.
func spoil(random *rand.Rand, text, letters string) string {
	alphabet := []rune(letters)
	for range random.IntN(3) {
		runes := []rune(text)
		i := random.IntN(len(runes) + 1)
		letter := string(alphabet[random.IntN(len(alphabet))])
		switch {
		case i == len(runes) || random.IntN(3) == 0:
			text = fmt.Sprint(string(runes[:i]), letter, string(runes[i:]))
		case random.IntN(2) == 0 && len(runes) > 1:
			text = string(runes[:i]) + string(runes[i+1:])
		default:
			text = string(runes[:i]) + letter + string(runes[i+1:])
		}
	}
	return text
}
