// Package autoscaler decides how many replicas a model needs and which path its
// requests take.
//
// Decide is a function of a policy, a state and an observation; it has no clock,
// client or logger. Reading the cluster and writing the result is the business of
// autoscaler/control, reading the metrics that of autoscaler/collect.
//
// The decision passes through the rules of one table (rules.go), in order. Each
// takes the wanted number of the one before and may move it, with a sentence that
// says why; the list of those that did is part of the decision.
package autoscaler
