package forward

import (
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// hopByHop are the fields that concern one connection only (RFC 9110, 7.6.1,
// and those that came before it).
var hopByHop = [...]string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
}

// endToEnd are fields, or their beginnings, that Connection cannot declare to be of
// one connection only. RFC 9110 forbids it, but a client that does it anyway would
// take away what a proxy in front has added about it, or what the model and those
// behind rely on: such a proxy may have passed the client's Connection on.
var endToEnd = [...]string{
	"Authorization", "Baggage", "Cache-Control", "Content-", "Cookie", "Date", "Expect", "Forwarded", "Grpc-",
	"Host", "Idempotency-Key", "Rawserve-", "Set-Cookie", "Trace", "Via", "X-Forwarded-", "X-Real-Ip", "X-Request-Id",
}

var (
	noUserAgent = []string{""}
	teTrailers  = []string{"trailers"}
	upgradeConn = []string{"Upgrade"}
	closeConn   = []string{"close"}
	protoHTTP   = []string{"http"}
)

func dropHopByHop(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(textproto.TrimString(name))
			if !slices.ContainsFunc(endToEnd[:], func(kept string) bool { return strings.HasPrefix(name, kept) }) {
				delete(h, name)
			}
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
}

// listed reports whether a comma-separated field has the token, in any case.
func listed(lines []string, token string) bool {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(textproto.TrimString(part), token) {
				return true
			}
		}
	}
	return false
}

// upgradeType is the protocol that the message wants to change to, or "". HTTP/2 is
// none: RFC 9113 has given up beginning it this way, a server may always decline, and
// what goes through a joined connection is neither seen nor limited.
func upgradeType(h http.Header) string {
	if len(h["Upgrade"]) == 0 || !listed(h["Connection"], "Upgrade") || listed(h["Upgrade"], "h2c") {
		return ""
	}
	return h["Upgrade"][0]
}

// prepareRequest turns the fields of an incoming request into those of the
// outgoing one, in place, and returns the protocol to upgrade to.
func prepareRequest(r *http.Request, forwarded bool) string {
	h := r.Header
	upgrade := ""
	if r.ProtoMajor == 1 && r.ProtoMinor == 1 { // others have no such field (RFC 9110, 7.8)
		upgrade = upgradeType(h)
	}
	trailers := listed(h["Te"], "trailers")
	dropHopByHop(h)
	if trailers {
		h["Te"] = teTrailers
	}
	if upgrade != "" {
		h["Connection"] = upgradeConn
		h["Upgrade"] = []string{upgrade}
	}
	if _, ok := h["User-Agent"]; !ok {
		// An empty value keeps Go's client from naming itself.
		h["User-Agent"] = noUserAgent
	}
	if forwarded {
		addForwarded(r)
	}
	return upgrade
}

// addForwarded appends the client to the chain of addresses. The host and the
// scheme are those that the first proxy saw, so they stay where they are set.
// Forwarded (RFC 7239) says the same once more, so it is gone on with and not begun.
func addForwarded(r *http.Request) {
	h := r.Header
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err == nil {
		chain := ip
		if prior := h["X-Forwarded-For"]; len(prior) > 0 {
			chain = strings.Join(prior, ", ") + ", " + ip
		}
		h["X-Forwarded-For"] = []string{chain}
	}
	if len(h["X-Forwarded-Host"]) == 0 && r.Host != "" {
		h["X-Forwarded-Host"] = []string{r.Host}
	}
	if len(h["X-Forwarded-Proto"]) == 0 {
		h["X-Forwarded-Proto"] = protoHTTP
	}
	if prior := h["Forwarded"]; len(prior) > 0 && err == nil {
		h["Forwarded"] = []string{strings.Join(prior, ", ") + ", " + forwardedElement(ip)}
	}
}

// forwardedElement is what Forwarded says of one hop.
func forwardedElement(ip string) string {
	if strings.Contains(ip, ":") {
		ip = `"[` + ip + `]"`
	}
	return "for=" + ip + ";proto=http"
}
