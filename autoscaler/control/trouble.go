package control

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// troubleLength bounds what is quoted of a pod.
const troubleLength = 200

// trouble says in a few words why a Deployment's replicas do not become ready, as
// far as its newest unready pod, or the Deployment itself, tells. Empty means that
// nothing is wrong yet.
func trouble(d *appsv1.Deployment, pods []*corev1.Pod) string {
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return ""
	}
	var newest *corev1.Pod
	for _, p := range pods {
		if p.Namespace != d.Namespace || p.DeletionTimestamp != nil || podReady(p) || !selector.Matches(labels.Set(p.Labels)) {
			continue
		}
		if newest == nil || newest.CreationTimestamp.Before(&p.CreationTimestamp) ||
			newest.CreationTimestamp.Equal(&p.CreationTimestamp) && newest.Name < p.Name {
			newest = p
		}
	}
	if newest != nil {
		return podTrouble(newest)
	}
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			return quote(c.Reason, c.Message)
		}
	}
	return ""
}

func podTrouble(p *corev1.Pod) string {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return quote(c.Reason, c.Message)
		}
	}
	for _, statuses := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range statuses {
			if t := containerTrouble(&statuses[i]); t != "" {
				return t
			}
		}
	}
	return ""
}

func containerTrouble(c *corev1.ContainerStatus) string {
	last := c.LastTerminationState.Terminated
	switch w := c.State.Waiting; {
	case w != nil && w.Reason == "CrashLoopBackOff" && last != nil:
		return quote(w.Reason, fmt.Sprintf("container %s exited with code %d %s", c.Name, last.ExitCode, last.Message))
	case w != nil && w.Reason != "" && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing":
		return quote(w.Reason, w.Message)
	}
	if t := c.State.Terminated; t != nil && t.ExitCode != 0 {
		return quote(t.Reason, fmt.Sprintf("container %s exited with code %d %s", c.Name, t.ExitCode, t.Message))
	}
	return ""
}

func quote(reason, message string) string {
	message = strings.Join(strings.Fields(message), " ")
	if runes := []rune(message); len(runes) > troubleLength {
		message = string(runes[:troubleLength]) + "…"
	}
	if message == "" {
		return reason
	}
	return reason + ": " + message
}

func podReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
