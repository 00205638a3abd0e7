package forward

import (
	"net"
	"net/http"
	"net/textproto"
	"strings"
)

// hopByHop are the fields that concern one connection only (RFC 9110, 7.6.1,
// and those that came before it).
var hopByHop = [...]string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
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
			if name = textproto.TrimString(name); name != "" {
				h.Del(name)
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

// upgradeType is the protocol that the message wants to change to, or "".
func upgradeType(h http.Header) string {
	if len(h["Upgrade"]) == 0 || !listed(h["Connection"], "Upgrade") {
		return ""
	}
	return h["Upgrade"][0]
}

// prepareRequest turns the fields of an incoming request into those of the
// outgoing one, in place, and returns the protocol to upgrade to.
func prepareRequest(r *http.Request, forwarded bool) string {
	h := r.Header
	upgrade := upgradeType(h)
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
func addForwarded(r *http.Request) {
	h := r.Header
	if ip, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		if prior := h["X-Forwarded-For"]; len(prior) > 0 {
			ip = strings.Join(prior, ", ") + ", " + ip
		}
		h["X-Forwarded-For"] = []string{ip}
	}
	if len(h["X-Forwarded-Host"]) == 0 {
		h["X-Forwarded-Host"] = []string{r.Host}
	}
	if len(h["X-Forwarded-Proto"]) == 0 {
		h["X-Forwarded-Proto"] = protoHTTP
	}
}
