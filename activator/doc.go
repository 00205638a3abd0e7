// Package activator decides what becomes of a request that reached an activator:
// which route it belongs to, which revision and pod it goes to, whether it is
// held, in which order and at which pace held ones are released, and what is
// answered when no pod will come. Sockets, clients and clocks are the callers'.
package activator
