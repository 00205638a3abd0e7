// Package ports allocates the ports on which activators listen.
//
// The local port of an accepted connection is all an activator has to tell
// which route a request is for, so a port belongs to one route's port in the
// whole cluster, and stays with it for life. The package decides from what it
// is shown; seeing all routes, and letting one allocation happen at a time, is
// left to callers.
package ports

import (
	"errors"
	"fmt"
	"hash/fnv"
)

const (
	// First is the lowest port that an activator may listen on for a route.
	First int32 = 10000
	// Last is the highest. Beyond it begins what the kernel gives to outgoing
	// connections (32768 by default).
	Last int32 = 31999
	// Size is the number of ports there are: as many Service ports can be routed
	// in one cluster.
	Size = int(Last - First + 1)
)

// ErrFull is returned when every port is taken.
var ErrFull = errors.New("every listen port is taken")

// Holder is what a listen port belongs to: one port of the Service of one route.
type Holder struct {
	// Namespace of the route.
	Namespace string
	// Route is the name of the route.
	Route string
	// ServicePort is the port number of the Service.
	ServicePort int32
}

// String writes the holder as it appears in messages: namespace/route:port.
func (h Holder) String() string {
	return fmt.Sprintf("%s/%s:%d", h.Namespace, h.Route, h.ServicePort)
}

// Next returns the port for a holder that has none: the first free one at or
// after the holder's own place, so that the same holder usually gets the same
// port again, and two that allocate at the same time rarely want the same one.
func Next(h Holder, taken func(port int32) bool) (int32, error) {
	start := int(place(h))
	for i := range Size {
		port := First + int32((start+i)%Size)
		if !taken(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("allocating a listen port for %s: %w (%d of %d, %d to %d): "+
		"delete InferenceServices that are not needed, or set up a second installation with a cluster of its own",
		h, ErrFull, Size, Size, First, Last)
}

// place is the holder's own place in 0…Size-1.
func place(h Holder) uint32 {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(h.String()))
	return sum.Sum32() % uint32(Size)
}
