// Package deployer turns an InferenceService, the runtime chosen for it and the
// configuration into the Kubernetes objects that serve it.
//
// Everything here is a function of values: no client, no clock, no logger. The
// caller (deployer/control) reads the cluster, calls SelectRuntime,
// CredentialsFrom, ServicePorts and Render in this order, and applies the result.
// Inputs are never written to.
package deployer
