package server

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// TestPodsOfTheActivatorsZoneComeFirstWhereTheRouteSaysSo has two pods, one of them
// in the activator's zone, and requests that come one by one.
func TestPodsOfTheActivatorsZoneComeFirstWhereTheRouteSaysSo(t *testing.T) {
	say := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }
	}
	near, port := backendOn(t, "127.0.0.1:0", say("near"))
	defer near.Close()
	backendOn(t, net.JoinHostPort("127.0.0.2", strconv.Itoa(port)), say("far"))
	prefer := func(s *v1alpha1.InferenceRouteSpec) { s.TrafficDistribution = v1alpha1.PreferSameZone }

	r := newRig(t, nil)
	r.s.zone = "zone-a"
	r.serve(port, prefer)
	for ip, zone := range map[string]string{"127.0.0.1": "zone-a", "127.0.0.2": "zone-b"} {
		p := podOf(zone, ip, true)
		p.Labels[corev1.LabelTopologyZone] = zone
		r.s.podChanged(nil, p)
	}
	c := client(t, false)
	answers := func() map[string]int {
		n := map[string]int{}
		for range 40 {
			n[fetch(c, http.MethodGet, r.url("/"), "").body]++
		}
		return n
	}
	require.Equal(t, map[string]int{"near": 40}, answers())
	r.serve(port, nil)
	require.Len(t, answers(), 2, "the route does not say so any more")
	r.serve(port, prefer)
	require.Equal(t, map[string]int{"near": 40}, answers())
	r.s.zone = ""
	r.serve(port, prefer)
	require.Len(t, answers(), 2, "nobody knows the activator's zone")
}
