package activator

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/rawserve/rawserve/internal/answer"
)

func TestAStartIsGivenUpWhenItShould(t *testing.T) {
	begin := time.Unix(1000, 0)
	pull := []*corev1.Pod{waitingFor("ImagePullBackOff", "")}
	creating := []*corev1.Pod{waitingFor("ContainerCreating", "")}
	type step struct {
		at      time.Duration
		waiting int
		ready   int
		pods    []*corev1.Pod
		raise   string
		fails   string // the reason, or empty
	}
	for name, steps := range map[string][]step{
		"a pull that fails for ten seconds": {
			{at: 0, waiting: 1}, {at: time.Second, waiting: 1, pods: pull},
			{at: 10 * time.Second, waiting: 1, pods: pull},
			{at: 11 * time.Second, waiting: 1, pods: pull, fails: "ImagePullBackOff"},
			{at: 20 * time.Second, waiting: 0, pods: pull, fails: "ImagePullBackOff"},
		},
		"a pull that works at the second try": {
			{at: 0, waiting: 1, pods: pull}, {at: 9 * time.Second, waiting: 1, pods: creating},
			{at: 12 * time.Second, waiting: 1, pods: pull}, {at: 21 * time.Second, waiting: 1, pods: pull},
			{at: 22 * time.Second, waiting: 1, pods: pull, fails: "ImagePullBackOff"},
		},
		"the failure ends with the pods' change": {
			{at: 0, waiting: 1, pods: pull}, {at: 10 * time.Second, waiting: 1, pods: pull, fails: "ImagePullBackOff"},
			{at: 11 * time.Second, waiting: 1, pods: creating},
		},
		"the deadline, counted from the first request": {
			{at: 0, waiting: 1, pods: creating}, {at: 30 * time.Second, waiting: 0, pods: creating},
			{at: 59 * time.Second, waiting: 1, pods: creating},
			{at: 60 * time.Second, waiting: 1, pods: creating, fails: FailurePending},
			{at: 70 * time.Second, waiting: 1, pods: creating, fails: FailurePending},
			{at: 80 * time.Second, waiting: 1, ready: 1, pods: creating},
		},
		"no pod by the deadline starts anew afterwards": {
			{at: 0, waiting: 1, raise: "forbidden"}, {at: 60 * time.Second, waiting: 1, raise: "forbidden", fails: FailureNoPods},
			{at: 61 * time.Second, waiting: 1}, {at: 120 * time.Second, waiting: 1}, {at: 121 * time.Second, waiting: 1, fails: FailureNoPods},
		},
		"nobody waits": {
			{at: 0, pods: pull}, {at: time.Hour, pods: pull},
		},
		"the last pod is gone": {
			{at: 0, waiting: 1, pods: creating}, {at: time.Second}, {at: 50 * time.Second, waiting: 1}, {at: 100 * time.Second, waiting: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var s Start
			for _, st := range steps {
				var f *Failure
				s, f = s.Next(StartInput{
					Now: begin.Add(st.at), Waiting: st.waiting, Ready: st.ready, Pods: st.pods,
					Deadline: time.Minute, RaiseError: st.raise,
				})
				if st.fails == "" {
					require.Nil(t, f, "at %s", st.at)
					continue
				}
				require.NotNil(t, f, "at %s", st.at)
				require.Equal(t, st.fails, f.Reason, "at %s", st.at)
				if st.raise != "" {
					require.Contains(t, f.Message, st.raise)
				}
			}
		})
	}
}

func TestTheEstimateFollowsMeasuredStarts(t *testing.T) {
	var s Startup
	require.Equal(t, 10*time.Second, s.Estimate())
	s = s.Observe(10 * time.Second).Observe(20 * time.Second)
	require.Equal(t, 13*time.Second, s.Estimate())
}

func TestAStartAnswerNamesTheReason(t *testing.T) {
	require.Equal(t,
		&answer.Answer{Reason: answer.StartFailed, Message: "Unschedulable: no node", RetryAfter: time.Second},
		StartAnswer(Failure{Reason: "Unschedulable", Message: "no node"}, time.Second))
}

func TestAPodThatNobodyWaitsForIsAskedSeldom(t *testing.T) {
	require.Equal(t, 5*time.Millisecond, ProbeDelay(time.Second, true))
	require.Equal(t, 20*time.Millisecond, ProbeDelay(10*time.Second, true))
	require.Equal(t, 100*time.Millisecond, ProbeDelay(time.Hour, true))
	require.Equal(t, 250*time.Millisecond, ProbeDelay(0, false))
	require.True(t, DialEagerly(time.Second, true))
	require.False(t, DialEagerly(10*time.Second, true))
	require.False(t, DialEagerly(time.Second, false))
}
