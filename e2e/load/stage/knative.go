package stage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/rawserve/rawserve/e2e/load"
)

const (
	knativeNamespace = "knative-serving"
	// knativeHeader and its companion tell Knative's activator which revision is meant.
	knativeHeader          = "Knative-Serving-Revision"
	knativeNamespaceHeader = "Knative-Serving-Namespace"
)

// startKnativeQueue starts the queue-proxy with what Knative's controller gives it by
// default: no limit of requests, metrics for Prometheus, no tracing.
func (s *Stage) startKnativeQueue(ctx context.Context) error {
	p, err := s.run(ctx, binQueue, []string{
		"CONTAINER_CONCURRENCY=0",
		"QUEUE_SERVING_PORT=" + strconv.Itoa(knativeQueuePort), "QUEUE_SERVING_TLS_PORT=8112",
		"USER_PORT=" + strconv.Itoa(backendPort),
		"REVISION_TIMEOUT_SECONDS=300", "REVISION_RESPONSE_START_TIMEOUT_SECONDS=300", "REVISION_IDLE_TIMEOUT_SECONDS=0",
		"SERVING_NAMESPACE=" + namespace, "SERVING_SERVICE=iris", "SERVING_CONFIGURATION=iris", "SERVING_REVISION=iris-00001",
		"SERVING_POD=iris-0", "SERVING_POD_IP=" + podIP,
		"SERVING_LOGGING_CONFIG=", "SERVING_LOGGING_LEVEL=", "SERVING_ENABLE_REQUEST_LOG=false",
		"SERVING_REQUEST_METRICS_BACKEND=prometheus", "TRACING_CONFIG_BACKEND=none",
		"SYSTEM_NAMESPACE=" + knativeNamespace, "METRICS_DOMAIN=knative.dev/internal/serving",
		fmt.Sprintf(`SERVING_READINESS_PROBE={"tcpSocket":{"host":"127.0.0.1","port":%d},"successThreshold":1}`, backendPort),
	})
	if err != nil {
		return err
	}
	s.targets[load.KnativeQueue] = &target{http: local(knativeQueuePort), h2c: local(knativeQueuePort), parts: []*part{s.part(p)}}
	return p.listens(ctx, local(knativeQueuePort))
}

// startKnativeActivator starts Knative's activator as its manifest does, with two
// revisions: the server itself, and the queue-proxy in front of it. Its autoscaler is
// not there; it serves all the same.
func (s *Stage) startKnativeActivator(ctx context.Context) error {
	if err := s.createKnative(ctx); err != nil {
		return err
	}
	kubeconfig, err := s.kubeconfig()
	if err != nil {
		return err
	}
	p, err := s.run(ctx, binKnative, []string{
		"KUBECONFIG=" + kubeconfig, "POD_NAME=activator-0", "POD_IP=" + podIP, "SYSTEM_NAMESPACE=" + knativeNamespace,
		"CONFIG_LOGGING_NAME=config-logging", "CONFIG_OBSERVABILITY_NAME=config-observability",
		"METRICS_DOMAIN=knative.dev/internal/serving", "GOGC=500",
		// The queue-proxy's metrics have the usual port here.
		"METRICS_PROMETHEUS_PORT=9190",
	})
	if err != nil {
		return err
	}
	mine := s.part(p)
	for _, r := range s.knativeRevisions() {
		s.targets[r.hop] = &target{
			http: local(knativeHTTPPort), h2c: local(knativeH2CPort),
			header: map[string]string{knativeHeader: r.name, knativeNamespaceHeader: namespace},
			parts:  append([]*part{mine}, r.parts...),
		}
	}
	return p.listens(ctx, local(knativeHTTPPort))
}

// knativeRevision is where Knative's activator leads to.
type knativeRevision struct {
	hop   load.Hop
	name  string
	port  int32
	parts []*part
}

func (s *Stage) knativeRevisions() []knativeRevision {
	revisions := []knativeRevision{{hop: load.KnativeActivator, name: "bare-00001", port: backendPort}}
	if queue := s.targets[load.KnativeQueue]; queue != nil {
		revisions = append(revisions, knativeRevision{hop: load.KnativeBoth, name: "queue-00001", port: knativeQueuePort, parts: queue.parts})
	}
	return revisions
}

func (s *Stage) createKnative(ctx context.Context) error {
	kube, err := kubernetes.NewForConfig(s.kube)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	objects, err := dynamic.NewForConfig(s.kube)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if err := s.createRevisionCRD(ctx, objects); err != nil {
		return err
	}
	if s.targets[load.Activator] == nil {
		if err := createNamespace(ctx, kube, namespace); err != nil {
			return err
		}
	}
	if err := createNamespace(ctx, kube, knativeNamespace); err != nil {
		return err
	}
	for _, name := range []string{"config-logging", "config-observability", "config-tracing", "config-network"} {
		empty := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := kube.CoreV1().ConfigMaps(knativeNamespace).Create(ctx, empty, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("creating %s: %w", name, err)
		}
	}
	for _, r := range s.knativeRevisions() {
		if err := createRevision(ctx, objects, kube, r); err != nil {
			return fmt.Errorf("creating revision %s: %w", r.name, err)
		}
	}
	return nil
}

func (s *Stage) createRevisionCRD(ctx context.Context, objects dynamic.Interface) error {
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(s.o.Binaries[binKnative]), revisionCRD))
	if err != nil {
		return fmt.Errorf("reading Knative's definitions: %w", err)
	}
	crd := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(raw, &crd.Object); err != nil {
		return fmt.Errorf("decoding Knative's definitions: %w", err)
	}
	crds := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	if _, err := objects.Resource(crds).Create(ctx, crd, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("creating Knative's definitions: %w", err)
	}
	return nil
}

// createRevision makes a revision and the two sets of Endpoints that Knative's
// controllers would make for it: of the pods, and of the activators.
func createRevision(ctx context.Context, objects dynamic.Interface, kube kubernetes.Interface, r knativeRevision) error {
	revisions := objects.Resource(schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "revisions"}).Namespace(namespace)
	revision := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "serving.knative.dev/v1", "kind": "Revision",
		"metadata": map[string]any{"name": r.name, "labels": map[string]any{
			"serving.knative.dev/service": "iris", "serving.knative.dev/configuration": "iris",
		}},
		"spec": map[string]any{
			"containerConcurrency": int64(0), "timeoutSeconds": int64(300),
			"containers": []any{map[string]any{"image": "none", "ports": []any{map[string]any{"name": "http1", "containerPort": int64(backendPort)}}}},
		},
	}}
	// The definition takes a moment to be served.
	made, err := retry(ctx, func() (*unstructured.Unstructured, error) {
		return revisions.Create(ctx, revision, metav1.CreateOptions{})
	})
	if err != nil {
		return err
	}
	for kind, port := range map[string]int32{"Private": r.port, "Public": knativeHTTPPort} {
		name := r.name
		if kind == "Private" {
			name += "-private"
		}
		endpoints := &corev1.Endpoints{ //nolint:staticcheck // Knative reads no EndpointSlices
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
				"networking.internal.knative.dev/serviceType": kind,
				"serving.knative.dev/revision":                r.name,
				"serving.knative.dev/revisionUID":             string(made.GetUID()),
			}},
			Subsets: []corev1.EndpointSubset{{ //nolint:staticcheck // as above
				Addresses: []corev1.EndpointAddress{{IP: podIP}},
				Ports:     []corev1.EndpointPort{{Name: "http", Port: port}},
			}},
		}
		if _, err := kube.CoreV1().Endpoints(namespace).Create(ctx, endpoints, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("creating endpoints %s: %w", name, err)
		}
	}
	return nil
}
