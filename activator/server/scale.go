package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// Scales reads and raises the scale of Deployments.
type Scales interface {
	GetScale(ctx context.Context, namespace, name string) (*autoscalingv1.Scale, error)
	// RaiseScale sets the replicas in one step with checking the condition, and
	// reports whether it held. It may also report that it did not where it cannot tell.
	RaiseScale(ctx context.Context, namespace, name string, r Raise) (bool, error)
}

// Raise is a scale's new value and the condition for it.
type Raise struct {
	// ResourceVersion is the version that the scale must have. Empty: the scale
	// must be zero, whatever its version.
	ResourceVersion string
	// To is the number of replicas.
	To int32
}

// The pause after somebody else wrote between our read and our write doubles from
// the first to the last of these.
const (
	firstConflictPause = 10 * time.Millisecond
	lastConflictPause  = time.Second
)

var errRefused = errors.New("the API server refuses it, and nobody has changed the scale meanwhile")

// raiseScale raises a Deployment from zero and reports whether it did. A scale
// that is not zero is left alone, and so is one that somebody else raises at the
// same moment. As a rule it takes one round trip.
func raiseScale(ctx context.Context, scales Scales, namespace, name string, to int32) (bool, error) {
	raised, err := scales.RaiseScale(ctx, namespace, name, Raise{To: to})
	if err != nil {
		return false, fmt.Errorf("raising the scale of deployment %s/%s to %d: %w", namespace, name, to, err)
	}
	if raised {
		return true, nil
	}
	return raiseScaleAgain(ctx, scales, namespace, name, to)
}

// raiseScaleAgain does the same to a scale that was raised already, as a rule,
// and so reads it first.
func raiseScaleAgain(ctx context.Context, scales Scales, namespace, name string, to int32) (bool, error) {
	tried := ""
	for pause := firstConflictPause; ; pause = min(2*pause, lastConflictPause) {
		scale, err := scales.GetScale(ctx, namespace, name)
		if err != nil {
			return false, fmt.Errorf("reading the scale of deployment %s/%s: %w", namespace, name, err)
		}
		if scale.Spec.Replicas != 0 {
			return false, nil
		}
		wrap := func(err error) error {
			return fmt.Errorf("raising the scale of deployment %s/%s to %d: %w", namespace, name, to, err)
		}
		if scale.ResourceVersion == tried {
			return false, wrap(errRefused)
		}
		tried = scale.ResourceVersion
		raised, err := scales.RaiseScale(ctx, namespace, name, Raise{ResourceVersion: tried, To: to})
		if err != nil {
			return false, wrap(err)
		}
		if raised {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, wrap(ctx.Err())
		case <-time.After(pause):
		}
	}
}

// KubeScales is Scales on a cluster. Its client should have no rate limit worth
// speaking of: a start must not wait behind other requests.
type KubeScales struct{ Client kubernetes.Interface }

// fieldManager signs what the activator writes.
const fieldManager = "rawserve-activator"

// GetScale reads the scale of a Deployment.
func (k KubeScales) GetScale(ctx context.Context, namespace, name string) (*autoscalingv1.Scale, error) {
	return k.Client.AppsV1().Deployments(namespace).GetScale(ctx, name, metav1.GetOptions{})
}

// RaiseScale patches the scale of a Deployment with a JSON patch, whose test and
// writing are one transaction of the API server's: it applies the patch anew to
// what somebody else wrote meanwhile.
func (k KubeScales) RaiseScale(ctx context.Context, namespace, name string, r Raise) (bool, error) {
	patch, err := scalePatch(r)
	if err != nil {
		return false, err
	}
	// The answer is a Scale, of which nothing is of interest.
	err = k.Client.AppsV1().RESTClient().Patch(types.JSONPatchType).
		Namespace(namespace).Resource("deployments").Name(name).SubResource("scale").
		Param("fieldManager", fieldManager).
		Body(patch).Do(ctx).Error()
	if apierrors.IsInvalid(err) {
		// A failed test has no reason of its own.
		return false, nil
	}
	return err == nil, err //nolint:wrapcheck // the caller says what for
}

// scalePatch is the JSON patch (RFC 6902) for a raise. The field replicas is left
// out of a Scale where it is zero, so that a spec of zero replicas is {}, and there
// is nothing at /spec/replicas that could be tested for 0 or replaced.
func scalePatch(r Raise) ([]byte, error) {
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	test := operation{"test", "/spec", struct{}{}}
	if r.ResourceVersion != "" {
		test = operation{"test", "/metadata/resourceVersion", r.ResourceVersion}
	}
	patch, err := json.Marshal([]operation{test, {"add", "/spec/replicas", r.To}})
	if err != nil {
		return nil, fmt.Errorf("encoding the patch: %w", err)
	}
	return patch, nil
}
