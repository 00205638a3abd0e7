// Package v1beta1 holds KServe's InferenceService with KServe's own JSON names,
// so that manifests written for KServe are accepted unchanged, together with
// the pure functions that fill in defaults ([Default]) and find what is wrong
// ([Validate]). What needs the cluster (the runtime, storage, quota) is left to
// callers.
//
// +k8s:openapi-gen=true
// +kubebuilder:object:generate=true
// +groupName=serving.kserve.io
package v1beta1
