package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// anyRoute returns a manifest with this specification.
func anyRoute(spec string) string {
	return "{apiVersion: rawserve.dev/v1alpha1, kind: InferenceRoute, metadata: {generateName: a-}, spec: " + spec + "}"
}

// portsOf returns a manifest with these ports.
func portsOf(ports string) string {
	return anyRoute("{serviceName: a, " + target("") + ", ports: " + ports + "}")
}

// weighed returns a manifest with targets of these weights.
func weighed(first, second string) string {
	return route("targets: [{revision: a-00001, deploymentName: a, podSelector: {app: a}, weight: " + first + "}, " +
		"{revision: a-00002, deploymentName: a, podSelector: {app: a}, weight: " + second + "}]")
}

func TestRulesOfRoutesRejectWithFieldAndRemedy(t *testing.T) {
	c := start(t)
	for name, test := range map[string]struct {
		manifest string
		want     []string
	}{
		"no service":                        {anyRoute("{" + target("") + ", ports: [{servicePort: 80, targetPort: 80, listenPort: 10000}]}"), []string{"spec.serviceName", "Required"}},
		"an empty service":                  {anyRoute("{serviceName: '', " + target("") + ", ports: [{servicePort: 80, targetPort: 80, listenPort: 10000}]}"), []string{"spec.serviceName"}},
		"no ports":                          {portsOf("[]"), []string{"spec.ports"}},
		"a port of nothing":                 {portsOf("[{servicePort: 0, targetPort: 80, listenPort: 10000}]"), []string{"spec.ports[0].servicePort"}},
		"a listen port of outgoing traffic": {portsOf("[{servicePort: 80, targetPort: 80, listenPort: 32768}]"), []string{"spec.ports[0].listenPort"}},
		"one service port twice":            {portsOf("[{servicePort: 80, targetPort: 80, listenPort: 10000}, {servicePort: 80, targetPort: 81, listenPort: 10001}]"), []string{"spec.ports[1]", "Duplicate"}},
		"one listen port twice":             {portsOf("[{servicePort: 80, targetPort: 80, listenPort: 10000}, {servicePort: 81, targetPort: 81, listenPort: 10000}]"), []string{"spec.ports", "listenPort", "its own"}},
		"no targets":                        {route("targets: []"), []string{"spec.targets"}},
		"a target of all pods":              {route("targets: [{revision: a-00001, deploymentName: a, podSelector: {}, weight: 100}]"), []string{"spec.targets[0].podSelector"}},
		"less than all requests":            {weighed("50", "49"), []string{"spec.targets", "add up to 100"}},
		"more than all requests":            {weighed("100", "1"), []string{"spec.targets", "add up to 100"}},
		"a negative weight":                 {weighed("101", "-1"), []string{"spec.targets[1].weight"}},
		"an unknown path":                   {route(target("") + ", path: Mesh"), []string{"spec.path", `"Direct"`}},
		"a negative limit":                  {route(target("") + ", containerConcurrency: -1"), []string{"spec.containerConcurrency"}},
		"a negative bound of the queue":     {route(target("") + ", queue: {maxRequests: -1}"), []string{"spec.queue.maxRequests"}},
		"negative time":                     {route(target("") + ", timeouts: {total: -1s}"), []string{"spec.timeouts.total"}},
	} {
		t.Run(name, func(t *testing.T) { c.requireInvalid(t, routes, test.manifest, test.want) })
	}
	for name, manifest := range map[string]string{
		"all requests to one of two": weighed("100", "0"),
		"a share each":               weighed("90", "10"),
		"a port of each protocol":    portsOf("[{servicePort: 80, targetPort: 9081, listenPort: 10000}, {servicePort: 81, targetPort: 9083, listenPort: 31999}]"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.create(t, routes, manifest)
			require.NoError(t, err)
		})
	}
}

func TestMisspeltFieldsOfRoutesAreRejectedByName(t *testing.T) {
	c := start(t)
	for field, manifest := range map[string]string{
		"spec.targetPorts":        route(target("") + ", targetPorts: []"),
		"spec.ports[0].listen":    portsOf("[{servicePort: 80, targetPort: 80, listenPort: 10000, listen: 1}]"),
		"spec.targets[0].weights": route(target("weights: 1")),
		"spec.timeouts.first":     route(target("") + ", timeouts: {first: 1s}"),
		"spec.queue.requests":     route(target("") + ", queue: {requests: 1}"),
	} {
		t.Run(field, func(t *testing.T) { c.requireUnknown(t, routes, manifest, field) })
	}
}

func TestRoutesHaveNoDefaults(t *testing.T) {
	c := start(t)
	stored, err := c.create(t, routes, route(target("")))
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"serviceName": "a",
		"ports":       []any{map[string]any{"servicePort": int64(80), "targetPort": int64(8080), "listenPort": int64(10000)}},
		"targets": []any{map[string]any{
			"revision": "a-00001", "deploymentName": "a", "podSelector": map[string]any{"app": "a"}, "weight": int64(100),
		}},
	}, stored.Object["spec"])
}

func TestColumnsOfRoutes(t *testing.T) {
	client, namespace := startTyped(t)
	rawserve := client.RawserveV1alpha1()
	_, err := rawserve.InferenceRoutes(namespace).Create(t.Context(), irisRoute(), metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = rawserve.InferenceRoutes(namespace).Patch(t.Context(), "iris-predictor", types.MergePatchType,
		[]byte(`{"spec": {"path": "Activator"}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	_, err = rawserve.InferenceRoutes(namespace).Patch(t.Context(), "iris-predictor", types.MergePatchType,
		[]byte(`{"status": {"path": {"mode": "Direct", "confirmed": true}}}`), metav1.PatchOptions{}, "status")
	require.NoError(t, err)
	got := tableOf(t, rawserve.RESTClient(), namespace, "inferenceroutes")
	require.Equal(t, []string{"Name", "Service", "Wanted", "Path", "Confirmed", "Port", "Age"}, got.columns)
	require.Equal(t, []any{"iris-predictor", "iris-predictor", "Activator", "Direct", true, 10000.0}, got.cells[:6])
}
