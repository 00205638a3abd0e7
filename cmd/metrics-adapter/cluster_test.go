package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/rawserve/rawserve/api/client/clientset/versioned"
	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/internal/apiservertest"
)

// cluster is the API server with rawserve's manifests, and clients with all rights.
type cluster struct {
	config  *rest.Config
	kube    kubernetes.Interface
	ours    versioned.Interface
	dynamic dynamic.Interface
	mapper  meta.RESTMapper
}

func newCluster(t *testing.T) *cluster {
	config := apiservertest.Start(t)
	c := &cluster{config: config}
	var errs [4]error
	c.kube, errs[0] = kubernetes.NewForConfig(config)
	c.ours, errs[1] = versioned.NewForConfig(config)
	c.dynamic, errs[2] = dynamic.NewForConfig(config)
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	errs[3] = err
	require.NoError(t, errors.Join(errs[:]...))
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	return c
}

// apply creates everything in a folder of the manifests, and the namespace they are for.
func (c *cluster) apply(t *testing.T, folder string) {
	_, err := c.kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: system}}, metav1.CreateOptions{})
	require.NoError(t, err)
	paths, err := filepath.Glob(filepath.Join("..", "..", "manifests", folder, "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		if filepath.Base(path) == "kustomization.yaml" {
			continue
		}
		file, err := os.Open(path)
		require.NoError(t, err)
		for dec := yaml.NewYAMLOrJSONDecoder(file, 4096); ; {
			obj := &unstructured.Unstructured{}
			if err := dec.Decode(&obj.Object); errors.Is(err, io.EOF) {
				break
			} else {
				require.NoError(t, err, path)
			}
			gvk := obj.GroupVersionKind()
			mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
			require.NoError(t, err, path)
			_, err = c.dynamic.Resource(mapping.Resource).Namespace(obj.GetNamespace()).Create(t.Context(), obj, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
			require.NoError(t, err, "%s: %s %s", path, gvk.Kind, obj.GetName())
		}
		require.NoError(t, file.Close())
	}
}

// model makes an InferenceService iris with two ready pods, of which one reports 4
// requests inside at 40 per second and the other does not answer, a service wine
// without pods, and an activator that holds 2 requests for iris.
func (c *cluster) model(t *testing.T, ns string) {
	start := time.Now()
	agent := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		s := time.Since(start).Seconds()
		fmt.Fprintf(w, `{"startedAt": %d, "now": %d, "inflight": 4, "inflightSeconds": %g, "requests": %d}`, start.UnixNano(), start.Add(time.Since(start)).UnixNano(), 4*s, int(40*s))
	})
	broken := serve(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) })
	activator := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		s := time.Since(start).Seconds()
		fmt.Fprintf(w, `{"startedAt": %d, "now": %d, "pod": "one", "routes": [{"namespace": %q, "name": "iris-predictor", "waiting": 2, "waitingSeconds": %g}]}`, start.UnixNano(), start.Add(time.Since(start)).UnixNano(), ns, 2*s)
	})
	iris := map[string]string{"serving.kserve.io/inferenceservice": "iris", "component": "predictor", "pod-template-hash": "7d9c"}
	c.pod(t, ns, "iris-a", iris, "agent-admin", agent)
	c.pod(t, ns, "iris-b", iris, "agent-admin", broken)
	c.pod(t, system, "activator-1", map[string]string{"app.kubernetes.io/name": "rawserve", "app.kubernetes.io/component": "activator"}, "admin", activator)

	zero := int32(0)
	for _, name := range []string{"iris", "wine"} {
		labels := map[string]string{"serving.kserve.io/inferenceservice": name, "component": "predictor"}
		_, err := c.dynamic.Resource(schema.GroupVersionResource{Group: "serving.kserve.io", Version: "v1beta1", Resource: "inferenceservices"}).Namespace(ns).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService",
			"metadata": map[string]any{"name": name},
			"spec":     map[string]any{"predictor": map[string]any{"model": map[string]any{"modelFormat": map[string]any{"name": "sklearn"}, "storageUri": "pvc://models/" + name}}},
		}}, metav1.CreateOptions{})
		require.NoError(t, err)
		_, err = c.ours.RawserveV1alpha1().Scalers(ns).Create(t.Context(), &rawservev1alpha1.Scaler{
			ObjectMeta: metav1.ObjectMeta{Name: name + "-predictor", Labels: labels},
			Spec:       rawservev1alpha1.ScalerSpec{ScaleTargetRef: rawservev1alpha1.ScaleTargetRef{Name: name + "-predictor"}, RouteName: name + "-predictor", MinReplicas: &zero},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		_, err = c.ours.RawserveV1alpha1().InferenceRoutes(ns).Create(t.Context(), &rawservev1alpha1.InferenceRoute{
			ObjectMeta: metav1.ObjectMeta{Name: name + "-predictor", Labels: labels},
			Spec: rawservev1alpha1.InferenceRouteSpec{
				ServiceName: name + "-predictor",
				Ports:       []rawservev1alpha1.RoutePort{{ServicePort: 80, TargetPort: 9081, ListenPort: 10000}},
				Targets:     []rawservev1alpha1.RouteTarget{{Revision: name + "-predictor-00001", DeploymentName: name + "-predictor", PodSelector: map[string]string{"app": name}, Weight: 100}},
			},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
}

// pod makes a ready pod whose named port is that of a server on loopback.
func (c *cluster) pod(t *testing.T, ns, name string, labels map[string]string, portName string, at *net.TCPAddr) {
	yes := true
	pod, err := c.kube.CoreV1().Pods(ns).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: labels,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "iris-predictor-7d9c", UID: "1", Controller: &yes}},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i", Ports: []corev1.ContainerPort{{Name: portName, ContainerPort: int32(at.Port)}}}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: at.IP.String(), PodIPs: []corev1.PodIP{{IP: at.IP.String()}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	}
	_, err = c.kube.CoreV1().Pods(ns).UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
	require.NoError(t, err)
}

// kubeconfig acts as the adapter's service account.
func (c *cluster) kubeconfig(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(clientcmdapi.Config{
		CurrentContext: "test",
		Contexts:       map[string]*clientcmdapi.Context{"test": {Cluster: "test", AuthInfo: "test"}},
		Clusters:       map[string]*clientcmdapi.Cluster{"test": {Server: c.config.Host, CertificateAuthority: c.config.CAFile}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"test": {
			ClientCertificate: c.config.CertFile, ClientKey: c.config.KeyFile,
			Impersonate:       "system:serviceaccount:" + system + ":metrics-adapter",
			ImpersonateGroups: []string{"system:serviceaccounts", "system:serviceaccounts:" + system, "system:authenticated"},
		}},
	}, path))
	return path
}

// adapter is a client of the adapter that trusts what the APIService says, once it does.
func (c *cluster) adapter(t *testing.T, port int) *rest.Config {
	config := rest.CopyConfig(c.config)
	config.Host = fmt.Sprintf("https://127.0.0.1:%d", port)
	config.CAFile, config.ServerName = "", "metrics-adapter."+system+".svc"
	require.Eventually(t, func() bool {
		config.CAData = c.published(t, "v1beta1.custom.metrics.k8s.io")
		return len(config.CAData) > 0 && string(config.CAData) == string(c.published(t, "v1beta2.custom.metrics.k8s.io"))
	}, 30*time.Second, 20*time.Millisecond)
	return config
}

func (c *cluster) published(t *testing.T, name string) []byte {
	obj, err := c.dynamic.Resource(schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	encoded, _, _ := unstructured.NestedString(obj.Object, "spec", "caBundle")
	ca, err := base64.StdEncoding.DecodeString(encoded)
	require.NoError(t, err)
	return ca
}

// raw asks for a path over a new connection; the status is 0 if there is no answer.
func (c *cluster) raw(t *testing.T, config *rest.Config, path string) (int, string) {
	config = rest.CopyConfig(config)
	transport, err := rest.TLSConfigFor(config)
	require.NoError(t, err)
	base := &http.Transport{TLSClientConfig: transport}
	defer base.CloseIdleConnections()
	wrapped, err := rest.HTTPWrappersForConfig(config, base)
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, config.Host+path, nil)
	require.NoError(t, err)
	resp, err := (&http.Client{Transport: wrapped, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func serve(t *testing.T, h http.HandlerFunc) *net.TCPAddr {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr)
}

func freePort(t *testing.T) int {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
