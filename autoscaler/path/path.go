// Package path takes a route from one path to another without a moment in which
// its Service has no endpoint. Step is pure: it says what the EndpointSlice with
// the activators' addresses and the route's status are to be; reading and writing
// them is the caller's.
//
// To enter, the slice is written, and once every ready activator listens and the
// nodes have had time to learn of it, the path is confirmed; only then may the
// Service's selector be narrowed, or the last replica go. To leave, the selector
// is restored, and once the Service has ready endpoints of its own the slice goes.
package path

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// Grace is how long a written slice, or a restored selector, is given to reach
// the nodes. kube-proxy programs a node at most once a second by default, and a
// busy one needs a while for it: after one second connections were still refused
// on a node with 25 new Services. Longer costs no more than a replica's idle seconds.
const Grace = 3 * time.Second

// look is when a switch that waits for somebody else is looked at again.
const look = time.Second

// Activator is one pod of the activators.
type Activator struct {
	// Name is the pod's name.
	Name string
	// Address is its IP; without one it is not an endpoint.
	Address string
	// Node is where it runs.
	Node string
	// Ready is true while it is ready and not about to end.
	Ready bool
}

// Slice is the EndpointSlice that holds the activators' addresses.
type Slice struct {
	// Endpoints are sorted by name.
	Endpoints []Activator
	// Since is when it got its first endpoint.
	Since time.Time
}

// Input is what is known of one route.
type Input struct {
	// Now is the time of the step.
	Now time.Time
	// Wanted is the mode in the route's specification, and Generation its generation.
	Wanted     v1alpha1.PathMode
	Generation int64
	// Status and Acks are those of the route.
	Status v1alpha1.PathStatus
	Acks   []v1alpha1.ActivatorAck
	// Activators are all pods of the activators.
	Activators []Activator
	// Slice is the present one, nil without one.
	Slice *Slice
	// Narrowed is true while the Service's selector is still narrowed.
	Narrowed bool
	// NativeReady is the number of ready endpoints in the Service's other slices.
	NativeReady int
}

// Output is what is to be.
type Output struct {
	// Status of the route's path.
	Status v1alpha1.PathStatus
	// Slice to write; nil for none.
	Slice *Slice
	// Gone are the acknowledgements of pods that are not there.
	Gone []string
	// NextLook is when to step again if nothing changes before; 0 for never.
	NextLook time.Duration
}

// Step says what is to be done next. It writes to none of its argument's parts.
func Step(in Input) Output {
	s := step{in: in, acks: map[string]v1alpha1.ActivatorAck{}}
	for _, ack := range in.Acks {
		s.acks[ack.Name] = ack
	}
	s.sort()
	var out Output
	switch in.Wanted {
	case v1alpha1.PathActivator, v1alpha1.PathActivatorOnly:
		out = s.enter()
	default:
		out = s.leave()
	}
	out.Gone = s.gone()
	out.Status.Since = in.Status.Since
	if out.Status.Mode != in.Status.Mode || out.Status.Confirmed != in.Status.Confirmed || out.Status.Reason != in.Status.Reason || in.Status.Since.IsZero() {
		out.Status.Since = metav1.NewMicroTime(in.Now)
	}
	return out
}

// step is one step in the making.
type step struct {
	in   Input
	acks map[string]v1alpha1.ActivatorAck
	// usable are the activators that can be endpoints.
	usable []Activator
	// pending are ready ones that have not answered for the generation.
	pending []string
	// refusing are ready ones that cannot serve the route, with the reason.
	refusing []string
}

func (s *step) sort() {
	for _, a := range s.in.Activators {
		if !a.Ready || a.Address == "" {
			continue
		}
		ack := s.acks[a.Name]
		switch {
		case ack.Message != "":
			s.refusing = append(s.refusing, a.Name+": "+ack.Message)
		case ack.Generation >= s.in.Generation && ack.Generation > 0:
			s.usable = append(s.usable, a)
		default:
			// One that is an endpoint already keeps serving the route as it knew it.
			if s.in.Slice != nil && slices.ContainsFunc(s.in.Slice.Endpoints, func(e Activator) bool { return e.Address == a.Address }) {
				s.usable = append(s.usable, a)
			}
			s.pending = append(s.pending, a.Name)
		}
	}
	slices.SortFunc(s.usable, func(a, b Activator) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address))
	})
	slices.Sort(s.pending)
	slices.Sort(s.refusing)
}

func (s *step) enter() Output {
	out := Output{Status: v1alpha1.PathStatus{Mode: s.in.Wanted}}
	if out.Slice = s.slice(); out.Slice == nil {
		out.Status.Reason = v1alpha1.PathNoActivator
		out.Status.Message = "No activator listens for the route" + s.reasons() + "; the path stays with the Service's own endpoints."
		out.NextLook = look
		return out
	}
	// A path in force stays so: activators keep serving what they know while a
	// change of the route reaches them.
	inForce := s.in.Status.Confirmed && s.in.Slice != nil && s.in.Status.Mode != v1alpha1.PathDirect && s.in.Status.Mode != ""
	written := s.in.Slice != nil && len(s.in.Slice.Endpoints) > 0
	left := Grace - s.in.Now.Sub(out.Slice.Since)
	switch {
	case inForce:
		out.Status.Confirmed = true
	case len(s.pending) > 0:
		out.Status.Reason = v1alpha1.PathWaitingForActivators
		out.Status.Message = "Waits for the activators to listen" + s.reasons() + "."
		out.NextLook = look
	case !written || left > 0:
		out.Status.Reason = v1alpha1.PathWaitingForNodes
		out.Status.Message = "Waits for the nodes to learn of the activators' addresses."
		out.NextLook = min(max(left, time.Millisecond), Grace)
	default:
		out.Status.Confirmed = true
	}
	out.Status.NarrowSelector = s.in.Wanted == v1alpha1.PathActivatorOnly && out.Status.Confirmed
	if out.Status.Confirmed {
		out.Status.Reason = v1alpha1.PathInForce
		out.Status.Message = fmt.Sprintf("%d of %d ready activators take the requests.", len(s.usable), len(s.usable)+len(s.refusing)+s.outside())
	}
	return out
}

// leave restores the Service's own endpoints. A Service that is new has none yet,
// and nodes that have not heard of it: it is confirmed like one that is left by
// the activators, but without a slice to remove.
func (s *step) leave() Output {
	out := Output{Status: v1alpha1.PathStatus{Mode: v1alpha1.PathDirect}}
	before := s.in.Status
	if s.in.Slice == nil && before.Mode == v1alpha1.PathDirect && before.Confirmed {
		out.Status.Confirmed, out.Status.Reason = true, v1alpha1.PathInForce
		return out
	}
	// The caches may still show endpoints of before the selector was narrowed, and
	// the nodes learn of new ones later still.
	left := Grace
	if before.Mode == v1alpha1.PathDirect {
		switch before.Reason {
		case v1alpha1.PathWaitingForNodes:
			left = Grace - s.in.Now.Sub(before.Since.Time)
		case v1alpha1.PathRemovingActivators:
			left = 0
		}
	}
	switch {
	case s.in.Narrowed || before.NarrowSelector:
		out.Status.Reason = v1alpha1.PathSelectorNarrowed
		out.Status.Message = "Waits for the Service's selector to be restored."
		out.NextLook = look
	case s.in.NativeReady == 0:
		out.Status.Reason = v1alpha1.PathNoEndpoint
		out.Status.Message = "Waits for a ready endpoint of the Service's own."
		out.NextLook = look
	case left > 0:
		out.Status.Reason = v1alpha1.PathWaitingForNodes
		out.Status.Message = "Waits for the nodes to learn of the Service's own endpoints."
		out.NextLook = min(left, Grace)
	case s.in.Slice == nil:
		out.Status.Confirmed, out.Status.Reason = true, v1alpha1.PathInForce
		return out
	default:
		// Direct is confirmed once the slice is seen to be gone.
		out.Status.Reason = v1alpha1.PathRemovingActivators
		out.Status.Message = "Removes the activators' addresses."
		return out
	}
	if s.in.Slice != nil {
		out.Slice = s.slice()
	}
	return out
}

// slice is the wanted one while activators are in the path; nil without any.
func (s *step) slice() *Slice {
	if len(s.usable) == 0 {
		return nil
	}
	since := s.in.Now
	if s.in.Slice != nil && len(s.in.Slice.Endpoints) > 0 {
		since = s.in.Slice.Since
	}
	return &Slice{Endpoints: s.usable, Since: since}
}

// outside is the number of pending activators that are no endpoints.
func (s *step) outside() int {
	n := 0
	for _, name := range s.pending {
		if !slices.ContainsFunc(s.usable, func(a Activator) bool { return a.Name == name }) {
			n++
		}
	}
	return n
}

func (s *step) reasons() string {
	var parts []string
	if len(s.pending) > 0 {
		parts = append(parts, "not yet "+few(s.pending))
	}
	if len(s.refusing) > 0 {
		parts = append(parts, "unable "+few(s.refusing))
	}
	if len(parts) == 0 && len(s.usable) == 0 {
		return " (none is ready)"
	}
	return " (" + strings.Join(parts, "; ") + ")"
}

// few lists at most three names.
func few(names []string) string {
	if len(names) > 3 {
		return strings.Join(names[:3], ", ") + fmt.Sprintf(" and %d more", len(names)-3)
	}
	return strings.Join(names, ", ")
}

func (s *step) gone() []string {
	var gone []string
	for _, ack := range s.in.Acks {
		if !slices.ContainsFunc(s.in.Activators, func(a Activator) bool { return a.Name == ack.Name }) {
			gone = append(gone, ack.Name)
		}
	}
	return gone
}
