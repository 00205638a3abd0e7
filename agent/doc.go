// Package agent decides what a pod's sidecar does with requests: how many may be
// in the server at a time, who waits, how readiness is asked for, when a drain
// is over, and what is measured. Sockets and clocks are the callers'.
//
// It is linked into every model pod, so it and its shell use the standard
// library and as little else as they can.
package agent
