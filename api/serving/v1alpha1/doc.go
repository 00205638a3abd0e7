// Package v1alpha1 holds KServe's ServingRuntime and ClusterServingRuntime with
// KServe's own JSON names, and the pure function [ValidateRuntime] that finds
// what is wrong with one. Which runtime a model gets is left to callers.
//
// +k8s:openapi-gen=true
// +kubebuilder:object:generate=true
// +groupName=serving.kserve.io
package v1alpha1
