package harness

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	rawserve "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// waitFor follows one object's events until done says so. An error of done's
// ends the wait; the timeout's error tells what was last seen.
func waitFor[T runtime.Object](ctx context.Context, timeout time.Duration, what string, client cache.ListerWatcher, done func(T) (bool, string)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var last, zero T
	seen := "never seen"
	var object T
	_, err := watchtools.UntilWithSync(ctx, client, newOf[T](), nil, func(e watch.Event) (bool, error) {
		if e.Type == watch.Deleted {
			seen = "deleted"
			return false, nil
		}
		got, ok := e.Object.(T)
		if !ok {
			return false, fmt.Errorf("waiting for %s: got %T", what, e.Object)
		}
		last = got
		ok, seen = done(got)
		if ok {
			object = got
		}
		return ok, nil
	})
	if err != nil {
		_ = last
		return zero, fmt.Errorf("waiting %s for %s: %w; last seen: %s", timeout, what, err, seen)
	}
	return object, nil
}

func newOf[T runtime.Object]() T {
	var t any = *new(T)
	switch t.(type) {
	case *v1beta1.InferenceService:
		t = &v1beta1.InferenceService{}
	case *appsv1.Deployment:
		t = &appsv1.Deployment{}
	case *rawserve.Scaler:
		t = &rawserve.Scaler{}
	case *rawserve.InferenceRoute:
		t = &rawserve.InferenceRoute{}
	}
	return t.(T)
}

func byName(name string) func(*metav1.ListOptions) {
	return func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("metadata.name", name).String()
	}
}

// WaitReady waits until an InferenceService is Ready at its present generation.
func (e *Env) WaitReady(ctx context.Context, namespace, name string, timeout time.Duration) (*v1beta1.InferenceService, error) {
	return e.WaitService(ctx, namespace, name, "be Ready", timeout, func(i *v1beta1.InferenceService) bool {
		ready := v1beta1.FindCondition(i.Status.Conditions, v1beta1.ConditionReady)
		return ready != nil && ready.Status == corev1.ConditionTrue && i.Status.ObservedGeneration == i.Generation
	})
}

// WaitService waits until an InferenceService is as done asks.
func (e *Env) WaitService(ctx context.Context, namespace, name, what string, timeout time.Duration, done func(*v1beta1.InferenceService) bool) (*v1beta1.InferenceService, error) {
	client := cache.NewFilteredListWatchFromClient(e.Serving.ServingV1beta1().RESTClient(), "inferenceservices", namespace, byName(name))
	return waitFor(ctx, timeout, fmt.Sprintf("InferenceService %s/%s to %s", namespace, name, what), client,
		func(i *v1beta1.InferenceService) (bool, string) {
			var words []string
			for _, c := range i.Status.Conditions {
				words = append(words, fmt.Sprintf("%s=%s (%s %s)", c.Type, c.Status, c.Reason, c.Message))
			}
			return done(i), strings.Join(words, ", ")
		})
}

// WaitReplicas waits until a Deployment asks for n replicas and has exactly n pods, all available.
func (e *Env) WaitReplicas(ctx context.Context, namespace, name string, n int32, timeout time.Duration) (*appsv1.Deployment, error) {
	return e.WaitDeployment(ctx, namespace, name, fmt.Sprintf("have %d replicas", n), timeout, func(d *appsv1.Deployment) bool {
		return d.Spec.Replicas != nil && *d.Spec.Replicas == n && d.Status.Replicas == n && d.Status.AvailableReplicas == n
	})
}

// WaitDeployment waits until a Deployment is as done asks.
func (e *Env) WaitDeployment(ctx context.Context, namespace, name, what string, timeout time.Duration, done func(*appsv1.Deployment) bool) (*appsv1.Deployment, error) {
	client := cache.NewFilteredListWatchFromClient(e.Kube.AppsV1().RESTClient(), "deployments", namespace, byName(name))
	d, err := waitFor(ctx, timeout, fmt.Sprintf("Deployment %s/%s to %s", namespace, name, what), client,
		func(d *appsv1.Deployment) (bool, string) {
			var asked int32 = -1
			if d.Spec.Replicas != nil {
				asked = *d.Spec.Replicas
			}
			return done(d), fmt.Sprintf("%d asked, %d there, %d ready, %d available", asked, d.Status.Replicas, d.Status.ReadyReplicas, d.Status.AvailableReplicas)
		})
	if err != nil {
		return nil, e.withScaler(ctx, namespace, name, err)
	}
	return d, nil
}

// WaitRoute waits until an InferenceRoute is as done asks.
func (e *Env) WaitRoute(ctx context.Context, namespace, name, what string, timeout time.Duration, done func(*rawserve.InferenceRoute) bool) (*rawserve.InferenceRoute, error) {
	client := cache.NewFilteredListWatchFromClient(e.Serving.RawserveV1alpha1().RESTClient(), "inferenceroutes", namespace, byName(name))
	return waitFor(ctx, timeout, fmt.Sprintf("InferenceRoute %s/%s to %s", namespace, name, what), client,
		func(r *rawserve.InferenceRoute) (bool, string) {
			return done(r), fmt.Sprintf("wanted %q, path %+v", r.Spec.Path, r.Status.Path)
		})
}

// withScaler adds what the Scaler of the same name says to an error.
func (e *Env) withScaler(ctx context.Context, namespace, name string, err error) error {
	s, getErr := e.Serving.RawserveV1alpha1().Scalers(namespace).Get(context.WithoutCancel(ctx), name, metav1.GetOptions{})
	if getErr != nil {
		return err
	}
	return fmt.Errorf("%w; scaler: %s: %s (path %s, because %v, signals %v)", err, s.Status.Reason, s.Status.Message, s.Status.Path, s.Status.Because, s.Status.Signals)
}
