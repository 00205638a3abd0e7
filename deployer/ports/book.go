package ports

import (
	"maps"
	"strings"
	"time"
)

// Book records which holder has which port: the ports seen in routes, and those
// given out that no route has shown yet. The zero value is ready for use. It is
// not safe for concurrent use.
type Book struct {
	// seen has the holders of each port as the routes in the cluster have it. More
	// than one holder is a fault (routes restored from a backup, two controllers);
	// only the oldest route keeps the port.
	seen map[int32]map[Holder]time.Time
	// routes has the ports of each seen route, to undo them.
	routes map[routeKey]map[int32]int32
	// given has ports handed out and not seen yet. Without them, two routes made
	// within one watch delay could get the same port.
	given map[int32]Holder
	// owed has the same by holder.
	owed map[Holder]int32
}

type routeKey struct{ namespace, name string }

// See records a route as it is in the cluster. ports maps a port of the Service to
// its listen port. What was given out to that route and shows is no longer owed.
func (b *Book) See(namespace, name string, created time.Time, ports map[int32]int32) {
	b.forgetSeen(namespace, name)
	if b.seen == nil {
		b.seen = map[int32]map[Holder]time.Time{}
		b.routes = map[routeKey]map[int32]int32{}
	}
	b.routes[routeKey{namespace, name}] = maps.Clone(ports)
	for servicePort, listen := range ports {
		h := Holder{namespace, name, servicePort}
		if b.seen[listen] == nil {
			b.seen[listen] = map[Holder]time.Time{}
		}
		b.seen[listen][h] = created
		if b.given[listen] == h {
			delete(b.given, listen)
			delete(b.owed, h)
		}
	}
}

// Forget records that a route is gone, along with what was given out to it.
func (b *Book) Forget(namespace, name string) {
	b.forgetSeen(namespace, name)
	b.Withdraw(namespace, name)
}

// Withdraw takes back what was given out to a route that has not been seen with it
// and is not going to be made. Without it such ports would stay given out for ever.
func (b *Book) Withdraw(namespace, name string) {
	maps.DeleteFunc(b.owed, func(h Holder, port int32) bool {
		gone := h.Namespace == namespace && h.Route == name
		if gone {
			delete(b.given, port)
		}
		return gone
	})
}

func (b *Book) forgetSeen(namespace, name string) {
	key := routeKey{namespace, name}
	for servicePort, listen := range b.routes[key] {
		delete(b.seen[listen], Holder{namespace, name, servicePort})
		if len(b.seen[listen]) == 0 {
			delete(b.seen, listen)
		}
	}
	delete(b.routes, key)
}

// Allocate returns the listen port of each of a route's Service ports: what the
// route has, what was given out to it before, or a free one. A port that an older
// route has too is given up. On failure nothing is given out.
func (b *Book) Allocate(namespace, name string, servicePorts []int32) (map[int32]int32, error) {
	out := make(map[int32]int32, len(servicePorts))
	fresh := map[int32]Holder{}
	for _, servicePort := range servicePorts {
		h := Holder{namespace, name, servicePort}
		port, ok := b.held(h)
		if !ok {
			var err error
			port, err = Next(h, func(p int32) bool {
				_, given := b.given[p]
				_, now := fresh[p]
				return given || now || len(b.seen[p]) > 0
			})
			if err != nil {
				return nil, err
			}
			fresh[port] = h
		}
		out[servicePort] = port
	}
	if b.given == nil {
		b.given, b.owed = map[int32]Holder{}, map[Holder]int32{}
	}
	for port, h := range fresh {
		b.given[port], b.owed[h] = h, port
	}
	return out, nil
}

// held returns the port that is rightfully the holder's already.
func (b *Book) held(h Holder) (int32, bool) {
	if port, ok := b.owed[h]; ok {
		return port, true
	}
	port, ok := b.routes[routeKey{h.Namespace, h.Route}][h.ServicePort]
	if !ok || port < First || port > Last || b.owner(port) != h {
		return 0, false
	}
	return port, true
}

// owner is the holder who keeps a port that several have: that of the oldest
// route, and of equally old ones the first by name.
func (b *Book) owner(port int32) Holder {
	var owner Holder
	var since time.Time
	first := true
	for h, created := range b.seen[port] {
		if first || created.Before(since) || created.Equal(since) && strings.Compare(h.String(), owner.String()) < 0 {
			owner, since, first = h, created, false
		}
	}
	return owner
}
