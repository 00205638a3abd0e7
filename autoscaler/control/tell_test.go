package control

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// heard keeps what events are about.
type heard struct{ regarding, related []metav1.Object }

func (h *heard) Eventf(regarding, related runtime.Object, _, _, _, _ string, _ ...any) {
	h.regarding = append(h.regarding, regarding.(metav1.Object))
	if related != nil {
		h.related = append(h.related, related.(metav1.Object))
	}
}

func (h *heard) WithLogger(logr.Logger) events.EventRecorderLogger { return nil }

func TestWarningsNameObjectsWithoutTheirVersionsSoThatTheyFold(t *testing.T) {
	h := &heard{}
	c := idleController(t)
	c.options.Events = h
	scaler := &v1alpha1.Scaler{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "iris", UID: "1", ResourceVersion: "7"}}
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "iris", UID: "2", ResourceVersion: "8"}}
	c.warn(scaler, deployment, "OtherWriter", "Observe", "text")
	c.warn(scaler, nil, "TargetNotFound", "Scale", "text")
	require.Len(t, h.regarding, 2)
	require.Len(t, h.related, 1)
	for _, o := range append(h.regarding, h.related...) {
		require.Empty(t, o.GetResourceVersion())
		require.NotEmpty(t, o.GetUID())
	}
	require.Equal(t, "7", scaler.ResourceVersion, "the object of the cache is not written to")
}

func TestANoteFitsIntoAnEvent(t *testing.T) {
	require.Equal(t, "short", note("short"))
	long := note(strings.Repeat("ä", 2000))
	require.LessOrEqual(t, len(long), 1024)
	require.True(t, utf8.ValidString(long))
}
