package plan

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
)

const (
	perOctet = 64
	// Links is the number of /30 networks that LinkOf can give: 169.254.1.0 to
	// 169.254.168.255. The first and last 256 addresses of the range are
	// reserved by RFC 3927, and clouds keep their metadata servers in 169.254.169.
	Links = 168 * perOctet
)

// Link is a /30 between the host and a cluster's first namespace.
type Link struct {
	Host, Inside, Network string
}

// LinkOf gives the addresses of the i-th link.
//
//	LinkOf(0)  host 169.254.1.1, inside 169.254.1.2
//	LinkOf(65) host 169.254.2.5, inside 169.254.2.6
func LinkOf(i int) Link {
	third, base := 1+i/perOctet, i%perOctet*4
	at := func(offset int) string { return fmt.Sprintf("169.254.%d.%d", third, base+offset) }
	return Link{Host: at(1), Inside: at(2), Network: at(0) + "/30"}
}

// ErrNoLink says that all link-local networks are taken.
var ErrNoLink = errors.New("every link-local /30 of this machine is taken: remove unused clusters with `cluster down`")

// FreeLink picks a link whose network overlaps none of the taken prefixes. The
// search starts at a place that depends on the name, so that two clusters
// starting at the same time rarely want the same one.
func FreeLink(name string, taken []netip.Prefix) (int, error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	start := int(h.Sum32() % Links)
	for i := range Links {
		link := (start + i) % Links
		network := netip.MustParsePrefix(LinkOf(link).Network)
		if !overlapsAny(network, taken) {
			return link, nil
		}
	}
	return 0, ErrNoLink
}

func overlapsAny(p netip.Prefix, taken []netip.Prefix) bool {
	for _, t := range taken {
		// A host-wide 169.254.0.0/16 route is zeroconf's; a /30 is more specific
		// and wins over it, so it does not count as taken.
		if t.Bits() > 16 && p.Overlaps(t) {
			return true
		}
	}
	return false
}
