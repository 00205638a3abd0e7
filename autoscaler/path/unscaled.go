package path

import "github.com/rawserve/rawserve/api/rawserve/v1alpha1"

// Unscaled says which path a route is to take that no Scaler speaks for, and why:
// its replicas are an HPA's, the user's or nobody's. Activators come in while nothing
// of the Service's own is ready, and go once something is; how is Step's business.
// split is true when weights divide the requests between revisions.
func Unscaled(in Input, split bool) (v1alpha1.PathMode, string) {
	switch {
	case split:
		return v1alpha1.PathActivatorOnly, "Weights divide the requests between revisions, which activators do."
	case in.Narrowed || in.Status.NarrowSelector:
		// What is ready does not show until the selector is restored.
		return v1alpha1.PathActivator, "No Scaler asks for activators only any more; the Service's selector is restored first."
	case in.NativeReady == 0:
		return v1alpha1.PathActivator, "The Service has no ready endpoint of its own; activators hold requests until it has."
	}
	return v1alpha1.PathDirect, "The Service has ready endpoints of its own, and no Scaler."
}
