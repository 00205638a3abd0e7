// Package v1alpha1 holds rawserve's own API: InferenceRoute, which says how
// requests reach the pods of one component, and Scaler, which says how many
// pods there are to be and reports why.
//
// +k8s:openapi-gen=true
// +kubebuilder:object:generate=true
// +groupName=rawserve.dev
package v1alpha1
