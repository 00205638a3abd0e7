package v1beta1

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var (
	noon = metav1.NewTime(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	one  = metav1.NewTime(noon.Add(time.Hour))
)

func TestTransitionTimeMovesOnlyWithTheStatus(t *testing.T) {
	ready := Condition{Type: ConditionReady, Status: corev1.ConditionTrue}
	before := WithCondition(nil, ready, noon)

	reworded := ready
	reworded.Message = "serving"
	after := WithCondition(before, reworded, one)
	require.Equal(t, noon, after[0].LastTransitionTime)
	require.Equal(t, "serving", after[0].Message)
	require.Empty(t, before[0].Message, "the list given must not change")

	reworded.Status = corev1.ConditionFalse
	require.Equal(t, one, WithCondition(after, reworded, one)[0].LastTransitionTime)
}

func TestConditionsKeepTheirOrder(t *testing.T) {
	var list []Condition
	for _, kind := range []ConditionType{ConditionReady, ConditionPredictorReady, ConditionReady} {
		list = WithCondition(list, Condition{Type: kind, Status: corev1.ConditionUnknown}, noon)
	}
	require.Len(t, list, 2)
	require.Equal(t, ConditionReady, list[0].Type)
	require.Nil(t, FindCondition(list, ConditionStopped))
}

func TestConditionsHaveKServesJSON(t *testing.T) {
	encoded, err := json.Marshal(Condition{
		Type: ConditionIngressReady, Status: corev1.ConditionFalse, Severity: SeverityInfo,
		LastTransitionTime: noon, Reason: ReasonPredictorIngressNotCreated, Message: "m",
	})
	require.NoError(t, err)
	require.JSONEq(t, `{"type": "IngressReady", "status": "False", "severity": "Info",
		"lastTransitionTime": "2026-03-01T12:00:00Z", "reason": "Predictor ingress not created", "message": "m"}`, string(encoded))
}
