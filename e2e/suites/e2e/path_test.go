package e2e

import (
	rawserve "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

func confirmedAtZero(r *rawserve.InferenceRoute) bool {
	return r.Status.Path.Mode == rawserve.PathActivator && r.Status.Path.Confirmed
}

func confirmedActivatorOnly(r *rawserve.InferenceRoute) bool {
	return r.Status.Path.Mode == rawserve.PathActivatorOnly && r.Status.Path.Confirmed && r.Status.Path.NarrowSelector
}

// routeIs says whether a route is as a test waits for.
type routeIs = func(*rawserve.InferenceRoute) bool

func confirmedDirect(r *rawserve.InferenceRoute) bool {
	return r.Status.Path.Mode == rawserve.PathDirect && r.Status.Path.Confirmed && !r.Status.Path.NarrowSelector
}

// confirmedActivatorOnlyOrAtZero is a route whose requests all meet activators, as
// there is no pod or because they have to.
func confirmedActivatorOnlyOrAtZero(r *rawserve.InferenceRoute) bool {
	return r.Status.Path.Mode != rawserve.PathDirect && r.Status.Path.Confirmed
}
