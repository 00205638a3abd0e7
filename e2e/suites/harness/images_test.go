package harness

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestOnlyAPodThatRunsAnotherImageOfTheSameNameIsOutdated(t *testing.T) {
	images := map[string]string{"docker.io/rawserve/rawserve:dev": "sha256:new"}
	pod := func(image, id string) corev1.Pod {
		return corev1.Pod{
			Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: "controller", Image: image}}},
			Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "controller", ImageID: id}}},
		}
	}
	leaving := pod("rawserve/rawserve:dev", "sha256:old")
	leaving.DeletionTimestamp = &metav1.Time{}
	sidecar := corev1.Pod{
		Spec:   corev1.PodSpec{InitContainers: []corev1.Container{{Name: "agent", Image: "rawserve/rawserve:dev"}}},
		Status: corev1.PodStatus{InitContainerStatuses: []corev1.ContainerStatus{{Name: "agent", ImageID: "sha256:old"}}},
	}
	for _, c := range []struct {
		situation string
		pod       corev1.Pod
		want      bool
	}{
		{"the image that was loaded", pod("rawserve/rawserve:dev", "sha256:new"), false},
		{"an older one", pod("rawserve/rawserve:dev", "sha256:old"), true},
		{"an older one, named in full", pod("docker.io/rawserve/rawserve:dev", "docker-pullable://rawserve@sha256:old"), true},
		{"an older one in a sidecar", sidecar, true},
		{"one that is being stopped", leaving, false},
		{"one that has not started", pod("rawserve/rawserve:dev", ""), false},
		{"an image that was not loaded from here", pod("example.com/other:1", "sha256:old"), false},
	} {
		require.Equal(t, c.want, runsOther(c.pod, images), c.situation)
	}
}
