package control

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
	"github.com/rawserve/rawserve/deployer/ports"
	"github.com/rawserve/rawserve/deployer/status"
)

func statusOf(predictor v1beta1.Condition, ready corev1.ConditionStatus, more ...v1beta1.Condition) v1beta1.InferenceServiceStatus {
	predictor.Type = v1beta1.ConditionPredictorReady
	return v1beta1.InferenceServiceStatus{
		URL:        "http://iris",
		Conditions: append([]v1beta1.Condition{{Type: v1beta1.ConditionReady, Status: ready}, predictor}, more...),
	}
}

func TestEventsTellChangesOnce(t *testing.T) {
	nothing := v1beta1.InferenceServiceStatus{}
	up := statusOf(v1beta1.Condition{Status: corev1.ConditionTrue}, corev1.ConditionTrue)
	down := statusOf(v1beta1.Condition{Status: corev1.ConditionFalse, Reason: "MinimumReplicasUnavailable", Message: "none."}, corev1.ConditionFalse)
	invalid := statusOf(v1beta1.Condition{Status: corev1.ConditionFalse, Reason: "NoSupportingRuntime", Message: "none serves it."}, corev1.ConditionFalse)
	odd := v1beta1.Condition{Type: status.ConditionSpecHonoured, Status: corev1.ConditionFalse, Reason: status.ReasonFieldsNotSupported, Message: "spec.transformer."}
	for _, c := range []struct {
		situation     string
		before, after v1beta1.InferenceServiceStatus
		want          []event
	}{
		{"new", nothing, down, nil},
		{"becomes ready", down, up, []event{{"Normal", "InferenceServiceReady", "Ready: http://iris"}}},
		{"stays ready", up, up, nil},
		{"becomes unready", up, down, []event{{"Warning", "InferenceServiceNotReady", "Not ready: PredictorReady MinimumReplicasUnavailable none."}}},
		{"becomes invalid", up, invalid, []event{
			{"Warning", "NoSupportingRuntime", "none serves it."}, {"Warning", "InferenceServiceNotReady", "Not ready: PredictorReady NoSupportingRuntime none serves it."},
		}},
		{"stays invalid", invalid, invalid, nil},
		{"gets a field that is not honoured", up, statusOf(v1beta1.Condition{Status: corev1.ConditionTrue}, corev1.ConditionTrue, odd),
			[]event{{"Warning", status.ReasonFieldsNotSupported, "spec.transformer."}}},
	} {
		t.Run(c.situation, func(t *testing.T) {
			require.Equal(t, c.want, eventsOf(c.before, c.after))
		})
	}
}

func TestOnlyLastingErrorsAreProblems(t *testing.T) {
	services := schema.GroupResource{Resource: "services"}
	wrap := func(err error) error { return fmt.Errorf("applying: %w", err) }
	for _, c := range []struct {
		situation string
		err       error
		want      *status.Problem
		transient bool
	}{
		{"none", nil, nil, false},
		{"the specification", wrap(&deployer.RenderError{Reason: deployer.ReasonRuntimeDisabled, Field: "spec.x", Message: "enable it"}),
			&status.Problem{Reason: "RuntimeDisabled", Message: "spec.x: enable it", Failure: v1beta1.FailureRuntimeDisabled}, false},
		{"the specification, without a word of its own", &deployer.RenderError{Reason: deployer.ReasonStorageNotSupported, Field: "spec.x", Message: "no"},
			&status.Problem{Reason: "StorageNotSupported", Message: "spec.x: no", Failure: v1beta1.FailureInvalidPredictorSpec}, false},
		{"a taken name", wrap(taken{objectKey{serviceKind, "ml", "iris"}}),
			&status.Problem{Reason: "NameTaken", Message: "Service ml/iris exists and is not controlled by this InferenceService, so it is left alone. Delete it, or give the InferenceService another name."}, false},
		{"no ports", wrap(ports.ErrFull), &status.Problem{Reason: "NoListenPort", Message: "applying: every listen port is taken"}, false},
		{"a rejected object", apierrors.NewForbidden(services, "iris", errors.New("quota")),
			&status.Problem{Reason: "ReconcileFailed", Message: `services "iris" is forbidden: quota`}, false},
		{"a conflict", wrap(apierrors.NewConflict(services, "iris", errors.New("changed"))), nil, true},
		{"a busy API server", wrap(apierrors.NewTooManyRequestsError("later")), nil, true},
		{"an object too large", wrap(apierrors.NewRequestEntityTooLargeError("etcd")),
			&status.Problem{Reason: "ReconcileFailed", Message: "applying: Request entity too large: etcd"}, false},
		{"a failing webhook", wrap(apierrors.NewInternalError(errors.New("failed calling webhook"))), nil, true},
		{"a change of etcd's leader", wrap(errors.New("etcdserver: leader changed")), nil, true},
		{"a cut connection", wrap(io.ErrUnexpectedEOF), nil, true},
		{"a leftover", wrap(leftover{}), nil, true},
	} {
		t.Run(c.situation, func(t *testing.T) {
			problem, transient := problemOf(c.err)
			require.Equal(t, c.want, problem)
			require.Equal(t, c.transient, transient)
		})
	}
}
