package activator

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

func routeAt(name string, created int64, ports ...int32) *v1alpha1.InferenceRoute {
	r := &v1alpha1.InferenceRoute{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: name, CreationTimestamp: metav1.Time{Time: time.Unix(created, 0)},
	}}
	for _, p := range ports {
		r.Spec.Ports = append(r.Spec.Ports, v1alpha1.RoutePort{ServicePort: 80, TargetPort: 9081, ListenPort: p})
	}
	return r
}

func TestTheOlderRouteKeepsAPort(t *testing.T) {
	owners, problems := AssignPorts([]*v1alpha1.InferenceRoute{
		routeAt("young", 20, 10001, 10002), routeAt("old", 10, 10001), routeAt("odd", 10, 0),
	})
	name := func(n string) types.NamespacedName { return types.NamespacedName{Namespace: "ns", Name: n} }
	require.Len(t, owners, 2)
	require.Equal(t, name("old"), owners[10001].Route)
	require.Equal(t, name("young"), owners[10002].Route)
	require.Equal(t, map[types.NamespacedName]string{
		name("young"): "Listen port 10001 belongs to InferenceRoute ns/old already. Give this route another one.",
		name("odd"):   "Listen port 0 is no port number.",
	}, problems)
}

func TestDiffPortsListsWhatIsMissingAndWhatIsTooMany(t *testing.T) {
	open, closing := DiffPorts(map[int]bool{1: true, 2: true}, map[int]string{2: "", 4: "", 3: ""})
	require.Equal(t, []int{3, 4}, open)
	require.Equal(t, []int{1}, closing)
}
