package control

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// noteLength bounds what an event says: the API server takes no more than 1,024 bytes.
const noteLength = 900

// warn tells the Scaler's user of something that needs attention. Who calls it says
// it once, not in each turn; client-go folds what is said again within six minutes.
func (c *Controller) warn(scaler *v1alpha1.Scaler, d *appsv1.Deployment, reason, action, message string) {
	c.options.Events.Eventf(aboutScaler(scaler), aboutDeployment(d), corev1.EventTypeWarning, reason, action, "%s", note(message))
}

func note(message string) string {
	if len(message) <= noteLength {
		return message
	}
	end := noteLength
	for end > 0 && message[end]&0xC0 == 0x80 { // within a character
		end--
	}
	return message[:end] + "…"
}

// aboutScaler names a Scaler in an event. Without its resource version, which makes
// each event a different one to client-go, so that none would be folded.
func aboutScaler(s *v1alpha1.Scaler) *v1alpha1.Scaler {
	return &v1alpha1.Scaler{ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: s.Namespace, UID: s.UID}}
}

// aboutDeployment names a Deployment of the cache, which has no kind, in an event.
func aboutDeployment(d *appsv1.Deployment) runtime.Object {
	if d == nil {
		return nil
	}
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Name: d.Name, Namespace: d.Namespace, UID: d.UID},
	}
}
