package control

import (
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/autoscaler"
)

// noteLength bounds what an event says: the API server takes no more than 1,024 bytes.
const noteLength = 900

// warn tells the Scaler's user of something that needs attention. Who calls it says
// it once, not in each turn; client-go folds what is said again within six minutes.
func (c *Controller) warn(scaler *v1alpha1.Scaler, d *appsv1.Deployment, reason, action, message string) {
	c.options.Events.Eventf(aboutScaler(scaler), aboutDeployment(d), corev1.EventTypeWarning, reason, action, "%s", note(message))
}

// noDataFor is how long signals may be missing before that is told. An adapter that
// is replaced is away for less.
const noDataFor = 30 * time.Second

// attention tells, once each, of what keeps a decision from being carried out and
// does not show in the scale. before is the reason that the status had.
func (c *Controller) attention(e *entry, scaler *v1alpha1.Scaler, before string, t target, seen autoscaler.Observation, d autoscaler.Decision) {
	if entered := before != string(d.Reason); entered {
		switch {
		case d.Reason == autoscaler.ReasonPathUnconfirmed, d.Reason == autoscaler.ReasonStartFailed && seen.Replicas > 0:
			c.warn(scaler, t.deployment, string(d.Reason), "Decide", d.Message)
		}
	}
	missing := missingSignals(e, seen, d)
	switch {
	case missing == "" || t.deployment == nil:
		e.noDataSince, e.noDataTold = time.Time{}, false
	case e.noDataSince.IsZero():
		e.noDataSince = seen.Now
	case !e.noDataTold && seen.Now.Sub(e.noDataSince) >= noDataFor:
		e.noDataTold = true
		c.warn(scaler, t.deployment, string(autoscaler.ReasonNoData), "Observe", fmt.Sprintf("Not known for %s: %s. Nothing shrinks until it is; check the metrics adapter and its APIService.", noDataFor, missing))
	}
}

// missingSignals says which signals have no data at all, and why.
func missingSignals(e *entry, seen autoscaler.Observation, d autoscaler.Decision) string {
	var missing []string
	for _, s := range d.Signals {
		if s.State == v1alpha1.SignalAbsent || s.State == v1alpha1.SignalStale {
			missing = append(missing, fmt.Sprintf("%s (%s)", s.Name, s.Why))
		}
	}
	if e.policy.HasRoute && !seen.Waiting.Known {
		missing = append(missing, fmt.Sprintf("waiting requests (%s)", seen.Waiting.Why))
	}
	return strings.Join(missing, "; ")
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
