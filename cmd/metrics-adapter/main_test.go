package main

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta1"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	custommetrics "k8s.io/metrics/pkg/client/custom_metrics"

	"github.com/rawserve/rawserve/internal/apiservertest"
)

func TestMain(m *testing.M) { apiservertest.Main(m) }

const system = "rawserve-system"

var (
	podKind     = schema.GroupKind{Kind: "Pod"}
	scalerKind  = schema.GroupKind{Group: "rawserve.dev", Kind: "Scaler"}
	serviceKind = schema.GroupKind{Group: "serving.kserve.io", Kind: "InferenceService"}
)

// TestAdapterServesDemandWithTheRightsOfItsManifests runs the whole process as the
// service account of the manifests, against a real API server, and asks it as the
// HPA controller and the autoscaler do.
func TestAdapterServesDemandWithTheRightsOfItsManifests(t *testing.T) {
	c := newCluster(t)
	c.apply(t, "metrics-adapter")
	ns := apiservertest.Namespace(t, c.config)
	c.model(t, ns)

	f := flags{port: freePort(t), service: "metrics-adapter", secret: "metrics-adapter-certificate", workers: 8, namespace: system, kubeconfig: c.kubeconfig(t)}
	parts, err := build(f, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- parts.run(ctx, f, slog.New(slog.DiscardHandler)) }()
	defer cancel()

	adapter := c.adapter(t, f.port)
	require.Eventually(t, func() bool {
		status, _ := c.raw(t, adapter, "/readyz")
		return status == http.StatusOK
	}, 60*time.Second, 50*time.Millisecond)

	for _, version := range []schema.GroupVersion{v1beta1.SchemeGroupVersion, v1beta2.SchemeGroupVersion} {
		t.Run("queries of "+version.Version, func(t *testing.T) { c.queries(t, adapter, version, ns) })
	}
	t.Run("who may ask", func(t *testing.T) { c.whoMayAsk(t, adapter, ns) })
	t.Run("discovery and own metrics", func(t *testing.T) { c.selfDescription(t, adapter) })
	t.Run("a new certificate is served and published at once", func(t *testing.T) { c.newCertificate(t, f.port) })

	cancel()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(30 * time.Second):
		t.Fatal("the adapter has not stopped")
	}
}

func (c *cluster) queries(t *testing.T, adapter *rest.Config, version schema.GroupVersion, ns string) {
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Version: "v1"}, {Group: scalerKind.Group, Version: "v1alpha1"}, {Group: serviceKind.Group, Version: "v1beta1"}})
	mapper.Add(schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, meta.RESTScopeNamespace)
	mapper.Add(scalerKind.WithVersion("v1alpha1"), meta.RESTScopeNamespace)
	mapper.Add(serviceKind.WithVersion("v1beta1"), meta.RESTScopeNamespace)
	client, err := custommetrics.NewForVersionForConfig(rest.CopyConfig(adapter), mapper, version)
	require.NoError(t, err)
	metrics := client.NamespacedMetrics(ns)

	// By name. One of two ready pods reports 4, so demand is 8 inside and 2 waiting.
	for _, row := range []struct {
		kind   schema.GroupKind
		name   string
		metric string
		want   float64
	}{
		{podKind, "iris-a", "inference_concurrency", 4},
		{podKind, "iris-a", "inference_requests_per_second", 40},
		{scalerKind, "iris-predictor", "inference_concurrency", 10},
		{scalerKind, "iris-predictor", "inference_requests_per_second", 80},
		{scalerKind, "iris-predictor", "inference_waiting", 2},
		{scalerKind, "iris-predictor", "inference_reporting_pods", 1},
		{scalerKind, "wine-predictor", "inference_concurrency", 0},
		{scalerKind, "wine-predictor", "inference_waiting", 0},
		{serviceKind, "iris", "inference_concurrency", 10},
		{serviceKind, "wine", "inference_waiting", 0},
	} {
		value, err := metrics.GetForObject(row.kind, row.name, row.metric, labels.Everything())
		require.NoError(t, err, "%s of %s", row.metric, row.name)
		require.InDelta(t, row.want, value.Value.AsApproximateFloat64(), 0.05*row.want+1e-9, "%s of %s", row.metric, row.name)
		require.Equal(t, []string{row.kind.Kind, ns, row.name}, []string{value.DescribedObject.Kind, value.DescribedObject.Namespace, value.DescribedObject.Name})
		require.Less(t, time.Since(value.Timestamp.Time), 4*time.Second) // 3 s, and timestamps are cut to seconds
	}

	// Absent values are not found, with a reason.
	for _, row := range []struct {
		kind         schema.GroupKind
		name, metric string
		why          string
	}{
		{podKind, "iris-b", "inference_concurrency", "its agent has no reading from the last 3s"},
		{podKind, "nobody", "inference_concurrency", "is not known to the metrics adapter"},
		{podKind, "iris-a", "inference_waiting", "rawserve has no metric inference_waiting for pods"},
		{scalerKind, "iris-predictor", "gpu_heat", "rawserve has no metric gpu_heat"},
	} {
		_, err := metrics.GetForObject(row.kind, row.name, row.metric, labels.Everything())
		require.True(t, apierrors.IsNotFound(err), "%s of %s: %v", row.metric, row.name, err)
		require.ErrorContains(t, err, row.why)
	}
	_, err = metrics.GetForObject(scalerKind, "iris-predictor", "inference_concurrency", labels.SelectorFromSet(labels.Set{"gpu": "1"}))
	require.ErrorContains(t, err, "has no labels")

	// Many at once.
	all, err := metrics.GetForObjects(scalerKind, labels.Everything(), "inference_waiting", labels.Everything())
	require.NoError(t, err)
	require.Len(t, all.Items, 2)
	require.Equal(t, "iris-predictor", all.Items[0].DescribedObject.Name)
	one, err := metrics.GetForObjects(scalerKind, labels.SelectorFromSet(labels.Set{"serving.kserve.io/inferenceservice": "wine"}), "inference_waiting", labels.Everything())
	require.NoError(t, err)
	require.Len(t, one.Items, 1)
	reporting, err := metrics.GetForObjects(podKind, labels.SelectorFromSet(labels.Set{"serving.kserve.io/inferenceservice": "iris"}), "inference_concurrency", labels.Everything())
	require.NoError(t, err)
	require.Len(t, reporting.Items, 1, "pods without a value are left out")
	none, err := metrics.GetForObjects(scalerKind, labels.SelectorFromSet(labels.Set{"no": "such"}), "inference_waiting", labels.Everything())
	require.NoError(t, err)
	require.Empty(t, none.Items)
}

func (c *cluster) whoMayAsk(t *testing.T, adapter *rest.Config, ns string) {
	path := "/apis/custom.metrics.k8s.io/v1beta2/namespaces/" + ns + "/scalers.rawserve.dev/*/inference_concurrency"
	nobody := rest.AnonymousClientConfig(adapter)
	status, _ := c.raw(t, nobody, path)
	require.Equal(t, http.StatusForbidden, status)
	for _, open := range []string{"/livez", "/readyz", "/healthz"} {
		status, body := c.raw(t, nobody, open)
		require.Equal(t, http.StatusOK, status, "%s: %s", open, body)
	}
	status, _ = c.raw(t, nobody, "/metrics")
	require.Equal(t, http.StatusForbidden, status)

	// A service account without and then with the reader's role of the manifests.
	_, err := c.kube.CoreV1().ServiceAccounts(ns).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "reader"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	token, err := c.kube.CoreV1().ServiceAccounts(ns).CreateToken(t.Context(), "reader", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
	reader := rest.AnonymousClientConfig(adapter)
	reader.BearerToken = token.Status.Token
	status, _ = c.raw(t, reader, path)
	require.Equal(t, http.StatusForbidden, status)
	_, err = c.kube.RbacV1().RoleBindings(ns).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "rawserve-custom-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "reader", Namespace: ns}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { // denials are cached for 10 s
		status, _ := c.raw(t, reader, path)
		return status == http.StatusOK
	}, 20*time.Second, 100*time.Millisecond)
}

func (c *cluster) selfDescription(t *testing.T, adapter *rest.Config) {
	for path, want := range map[string]string{
		"/apis/custom.metrics.k8s.io/v1beta1": `"scalers.rawserve.dev/inference_concurrency"`,
		"/apis/custom.metrics.k8s.io/v1beta2": `"pods/inference_requests_per_second"`,
		"/openapi/v2":                         "MetricValueList",
		"/openapi/v3":                         "/apis/custom.metrics.k8s.io/v1beta2",
		"/metrics":                            `rawserve_metrics_adapter_apiservice_ours{apiservice="v1beta2.custom.metrics.k8s.io"} 1`,
	} {
		status, body := c.raw(t, adapter, path)
		require.Equal(t, http.StatusOK, status, path)
		require.Contains(t, body, want, path)
	}
}

// newCertificate deletes the Secret: the adapter makes a new one, which a client
// that trusts only the new CA accepts.
func (c *cluster) newCertificate(t *testing.T, port int) {
	before := c.published(t, "v1beta2.custom.metrics.k8s.io")
	require.NoError(t, c.kube.CoreV1().Secrets(system).Delete(t.Context(), "metrics-adapter-certificate", metav1.DeleteOptions{}))
	require.Eventually(t, func() bool { return string(c.published(t, "v1beta2.custom.metrics.k8s.io")) != string(before) }, 30*time.Second, 20*time.Millisecond)
	after := c.published(t, "v1beta2.custom.metrics.k8s.io")
	require.True(t, x509.NewCertPool().AppendCertsFromPEM(after))
	adapter := c.adapter(t, port)
	require.Eventually(t, func() bool {
		status, _ := c.raw(t, adapter, "/livez")
		return status == http.StatusOK
	}, 10*time.Second, 20*time.Millisecond)
}
