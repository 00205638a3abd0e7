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
