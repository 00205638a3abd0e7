package api_test

import (
	"fmt"
	"strings"
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

// queued returns a manifest with these bounds and ranks of the queue.
func queued(queue string) string { return route(target("") + ", queue: {" + queue + "}") }

// ranked returns a manifest with this priority.
func ranked(priority string) string { return queued("priority: {" + priority + "}") }

// manyOf returns n different texts of that length as the items of a list.
func manyOf(n, length int) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf("v%0*d", length-1, i)
	}
	return strings.Join(items, ", ")
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
		"negative bytes":                    {queued("maxBytes: -1Mi"), []string{"spec.queue.maxBytes", "not be negative", "64Mi"}},
		"negative bytes, as a number":       {queued("maxBytes: -1"), []string{"spec.queue.maxBytes", "not be negative"}},
		"a client by no header's name":      {queued("clientHeader: 'X Client'"), []string{"spec.queue.clientHeader", "name of a header", "X-Consumer-Id"}},
		"a client by two headers":           {queued("clientHeader: 'X-A,X-B'"), []string{"spec.queue.clientHeader", "name of a header"}},
		"a client by the name it asks for":  {queued("clientHeader: HOST"), []string{"spec.queue.clientHeader", "belongs to the connection"}},
		"a client by an endless name":       {queued("clientHeader: " + manyOf(1, 65)), []string{"spec.queue.clientHeader", "64"}},
		"a priority without a header":       {ranked("high: [vip]"), []string{"spec.queue.priority.header", "Required"}},
		"a priority by an empty header":     {ranked("header: '', high: [vip]"), []string{"spec.queue.priority.header", "name of a header", "X-Priority"}},
		"a priority by no header's name":    {ranked("header: 'X-Priority:', high: [vip]"), []string{"spec.queue.priority.header", "name of a header"}},
		"a priority by a connection's":      {ranked("header: Upgrade, high: [vip]"), []string{"spec.queue.priority.header", "belongs to the connection"}},
		"a priority by an endless name":     {ranked("header: " + manyOf(1, 65) + ", high: [vip]"), []string{"spec.queue.priority.header", "64"}},
		"a priority of nobody":              {ranked("header: X-Priority"), []string{"spec.queue.priority", "high or low", "remove priority"}},
		"a priority of nobody, written out": {ranked("header: X-Priority, high: [], low: []"), []string{"spec.queue.priority", "high or low"}},
		"high and low at a time":            {ranked("header: X-Priority, high: [a, Batch], low: [b, bATCH]"), []string{"spec.queue.priority", "both high and low", "remove it"}},
		"one value twice":                   {ranked("header: X-Priority, low: [a, a]"), []string{"spec.queue.priority.low[1]", "Duplicate"}},
		"an empty value":                    {ranked("header: X-Priority, high: ['']"), []string{"spec.queue.priority.high[0]", "at least 1"}},
		"a value no header can have":        {ranked("header: X-Priority, high: [\"a\\nb\"]"), []string{"spec.queue.priority.high", "what a header can have"}},
		"a value with a space before it":    {ranked("header: X-Priority, low: [' a']"), []string{"spec.queue.priority.low", "no space before or after"}},
		"an endless value":                  {ranked("header: X-Priority, low: [" + manyOf(1, 65) + "]"), []string{"spec.queue.priority.low[0]", "64"}},
		"too many high values":              {ranked("header: X-Priority, high: [" + manyOf(17, 4) + "]"), []string{"spec.queue.priority.high", "16"}},
		"too many low values":               {ranked("header: X-Priority, low: [" + manyOf(17, 4) + "]"), []string{"spec.queue.priority.low", "16"}},
		"negative time":                     {route(target("") + ", timeouts: {total: -1s}"), []string{"spec.timeouts.total"}},
	} {
		t.Run(name, func(t *testing.T) { c.requireInvalid(t, routes, test.manifest, test.want) })
	}
	for name, manifest := range map[string]string{
		"all requests to one of two": weighed("100", "0"),
		"a share each":               weighed("90", "10"),
		"a port of each protocol":    portsOf("[{servicePort: 80, targetPort: 9081, listenPort: 10000}, {servicePort: 81, targetPort: 9083, listenPort: 31999}]"),
		"the activator's queue":      queued("maxRequests: 0, maxBytes: 0, clientHeader: ''"),
		"a queue of its own":         queued("maxRequests: 100, maxBytes: 64Mi, clientHeader: x_consumer.id-1"),
		"some before all others":     ranked("header: X-Priority, high: [" + manyOf(16, 64) + "]"),
		"some after all others":      ranked("header: X-Priority, low: ['best effort, if at all']"),
		"three ranks":                ranked("header: X-Priority, high: [VIP, paying], low: [batch]"),
		"a limit for each part":      route(target("") + ", timeouts: {queue: 1m30s, firstByte: 1ms, idle: 500ms, total: 24h}"),
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
		"spec.queue.requests":     queued("requests: 1"),
		"spec.queue.priority.mid": ranked("header: X-Priority, high: [a], mid: [b]"),
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
