package harness

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// fast makes scale decisions quick enough for tests: the shortest stable window.
var fast = map[string]string{"autoscaling.knative.dev/window": "6s"}

// TestService returns an InferenceService of the test server that may go to
// zero and decides fast. edit changes it before it is used.
func TestService(name string, args []string, edit ...func(*v1beta1.InferenceService)) *v1beta1.InferenceService {
	s := &v1beta1.InferenceService{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: maps.Clone(fast)},
		Spec: v1beta1.InferenceServiceSpec{Predictor: v1beta1.PredictorSpec{
			PodSpec: v1beta1.PodSpec{Containers: []corev1.Container{{
				Name:            "kserve-container",
				Image:           TestServerImage,
				ImagePullPolicy: corev1.PullIfNotPresent,
				Args:            append([]string{"--model-name=" + name}, args...),
				Ports:           []corev1.ContainerPort{{ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
				ReadinessProbe: &corev1.Probe{
					ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/v2/health/ready", Port: portNumber(8080)}},
					PeriodSeconds: 1,
				},
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("5m"), corev1.ResourceMemory: resource.MustParse("16Mi")},
					Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("256Mi")},
				},
			}}},
		}},
	}
	s.Spec.Predictor.MinReplicas = ptr.To[int32](0)
	s.Spec.Predictor.MaxReplicas = 5
	for _, f := range edit {
		f(s)
	}
	return s
}

// Annotate returns an edit that sets an annotation.
func Annotate(key, value string) func(*v1beta1.InferenceService) {
	return func(s *v1beta1.InferenceService) { s.Annotations[key] = value }
}

// PredictorURL is the address of an InferenceService's predictor inside the cluster.
func PredictorURL(namespace, name string) string {
	return fmt.Sprintf("http://%s-predictor.%s.svc.cluster.local", name, namespace)
}

// CreateNamespace makes a namespace for one test.
func (e *Env) CreateNamespace(ctx context.Context, name string) error {
	_, err := e.Kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "baseline"},
	}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("creating namespace %s: %w", name, err)
	}
	return nil
}

// Create creates an InferenceService.
func (e *Env) Create(ctx context.Context, namespace string, s *v1beta1.InferenceService) error {
	if _, err := e.Serving.ServingV1beta1().InferenceServices(namespace).Create(ctx, s, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict}); err != nil {
		return fmt.Errorf("creating InferenceService %s/%s: %w", namespace, s.Name, err)
	}
	return nil
}

func portNumber(n int32) intstr.IntOrString { return intstr.FromInt32(n) }

// EnsureNamespace makes a namespace unless it is there.
func (e *Env) EnsureNamespace(ctx context.Context, name string) error {
	if err := e.CreateNamespace(ctx, name); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}
