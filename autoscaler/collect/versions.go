package collect

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta1"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	"k8s.io/utils/clock"
)

// How long an answer of discovery is good for. A failure is kept for a while too,
// or an absent adapter would cost one discovery for each query.
const (
	versionGood = time.Minute
	versionBad  = 3 * time.Second
)

// versions chooses the version of the custom metrics API: v1beta2 where it is
// served, which has the length of the interval, v1beta1 otherwise. The server's own
// preference is not asked: each version may have a backend of its own.
type versions struct {
	discover discovery.ServerGroupsInterface
	clock    clock.PassiveClock

	// mu guards what follows and serialises discovery.
	mu     sync.Mutex
	chosen schema.GroupVersion
	err    error
	until  time.Time
}

// PreferredVersion returns the version to use.
func (v *versions) PreferredVersion() (schema.GroupVersion, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.clock.Now()
	if now.Before(v.until) {
		return v.chosen, v.err
	}
	if v.chosen, v.err = v.ask(); v.err != nil {
		v.until = now.Add(versionBad)
	} else {
		v.until = now.Add(versionGood)
	}
	return v.chosen, v.err
}

// Invalidate has the version asked for again, soon if it was known.
func (v *versions) Invalidate() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if soon := v.clock.Now().Add(versionBad); soon.Before(v.until) {
		v.until = soon
	}
}

func (v *versions) ask() (schema.GroupVersion, error) {
	groups, err := v.discover.ServerGroups()
	if err != nil {
		return schema.GroupVersion{}, fmt.Errorf("discovering the custom metrics API: %w", err)
	}
	served := map[string]bool{}
	for _, group := range groups.Groups {
		for _, version := range group.Versions {
			served[version.GroupVersion] = true
		}
	}
	for _, version := range []schema.GroupVersion{v1beta2.SchemeGroupVersion, v1beta1.SchemeGroupVersion} {
		if served[version.String()] {
			return version, nil
		}
	}
	return schema.GroupVersion{}, fmt.Errorf("the API server does not serve custom.metrics.k8s.io; install the metrics adapter, or check that its APIService is available")
}
