package control

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer/status"
)

// kind is one kind of object that is made for an InferenceService.
type kind struct {
	schema.GroupVersionKind
	resource schema.GroupVersionResource
	// prune says whether objects that are not wanted any more are deleted.
	// Revisions have a history limit instead.
	prune bool
}

func newKind(group, version, name, resource string, prune bool) *kind {
	gv := schema.GroupVersion{Group: group, Version: version}
	return &kind{gv.WithKind(name), gv.WithResource(resource), prune}
}

var (
	serviceKind    = newKind("", "v1", "Service", "services", true)
	deploymentKind = newKind("apps", "v1", "Deployment", "deployments", true)
	revisionKind   = newKind("apps", "v1", "ControllerRevision", "controllerrevisions", false)
	hpaKind        = newKind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", true)
	routeKind      = newKind(rawservev1alpha1.SchemeGroupVersion.Group, rawservev1alpha1.SchemeGroupVersion.Version, "InferenceRoute", "inferenceroutes", true)
	scalerKind     = newKind(rawservev1alpha1.SchemeGroupVersion.Group, rawservev1alpha1.SchemeGroupVersion.Version, "Scaler", "scalers", true)
)

const (
	isvcKind = "InferenceService"
	// reasonStartFailed is the autoscaler's word for a start that was given up.
	reasonStartFailed = status.ReasonStartFailed
)

// isServingGroup says whether an apiVersion is one of KServe's group.
func isServingGroup(apiVersion string) bool {
	group, _, _ := strings.Cut(apiVersion, "/")
	return group == v1beta1.SchemeGroupVersion.Group
}
