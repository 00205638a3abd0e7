package activator

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// podSince is a running pod that started at 0 and whose readiness is since then.
func podSince(ready bool, since time.Duration) *corev1.Pod {
	at := func(d time.Duration) metav1.Time { return metav1.NewTime(time.Unix(1_000_000, 0).Add(d)) }
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	start := at(0)
	return &corev1.Pod{Status: corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: "10.0.0.1", StartTime: &start,
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status, LastTransitionTime: at(since)}},
	}}
}

func TestWhoseWordCountsForAPod(t *testing.T) {
	starting, ready := podSince(false, 0), podSince(true, 5*time.Second)
	failed, back := podSince(false, 60*time.Second), podSince(true, 80*time.Second)
	silent := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1"}}
	noAddress, ended, going := podSince(true, 5*time.Second), podSince(true, 5*time.Second), podSince(true, 5*time.Second)
	noAddress.Status.PodIP = ""
	ended.Status.Phase = corev1.PodSucceeded
	now := metav1.Now()
	going.DeletionTimestamp = &now

	type look struct {
		pod  *corev1.Pod
		want Word
	}
	for name, c := range map[string]struct {
		noAgent bool
		looks   []look
	}{
		"before it was first ready the agent knows earlier": {looks: []look{{starting, AskAgent}, {starting, AskAgent}, {ready, AskAgent}}},
		"kubelet has not said anything yet":                 {looks: []look{{silent, AskAgent}}},
		"its readiness fails, and comes back":               {looks: []look{{ready, AskAgent}, {failed, TakesNone}, {failed, TakesNone}, {back, TakesSome}, {back, AskAgent}}},
		"it is known only since it failed":                  {looks: []look{{failed, TakesNone}, {back, TakesSome}}},
		"its clock is a second behind":                      {looks: []look{{podSince(false, time.Second), AskAgent}}},
		"it has no address":                                 {looks: []look{{noAddress, TakesNone}}},
		"it has ended":                                      {looks: []look{{ended, TakesNone}}},
		"it is going":                                       {looks: []look{{ready, AskAgent}, {going, TakesNone}}},
		"nobody but kubelet can tell":                       {noAgent: true, looks: []look{{starting, TakesNone}, {ready, TakesSome}, {failed, TakesNone}, {back, TakesSome}}},
	} {
		t.Run(name, func(t *testing.T) {
			var s Standing
			for i, l := range c.looks {
				var got Word
				s, got = s.Next(l.pod, !c.noAgent)
				require.Equal(t, l.want, got, "look %d", i)
			}
		})
	}
}
