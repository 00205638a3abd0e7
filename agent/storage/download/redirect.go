package download

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// maxRedirects is what curl and Python's requests stay below, too.
const maxRedirects = 10

// redirectError is a redirect that is not followed.
type redirectError struct{ error }

// redirects follows a bounded number of redirects and drops credentials as soon as one
// leaves the first URL's origin. Go drops only the well-known headers, and keeps them
// for subdomains; the headers of a secret may have any name. The Referer that Go adds
// would carry a signed URL's query to the next server.
func redirects(first Request) func(*http.Request, []*http.Request) error {
	return func(next *http.Request, via []*http.Request) error {
		if len(via) >= maxRedirects {
			return redirectError{fmt.Errorf("more than %d redirects", maxRedirects)}
		}
		if next.URL.Scheme != "http" && next.URL.Scheme != "https" {
			return redirectError{fmt.Errorf("the server redirects to the scheme %q", next.URL.Scheme)}
		}
		if via[len(via)-1].URL.Scheme == "https" && next.URL.Scheme == "http" {
			return redirectError{fmt.Errorf("the server redirects from https to http on %s", next.URL.Host)}
		}
		next.Header.Del("Referer")
		if leavesOrigin(first.URL, via, next.URL) {
			for name := range first.Header {
				next.Header.Del(name)
			}
			next.Header.Del("Authorization")
			next.Header.Del("Cookie")
		}
		return nil
	}
}

// leavesOrigin reports whether any step went elsewhere. Once away, coming back does
// not bring the credentials back: the way was another server's choice.
func leavesOrigin(first *url.URL, via []*http.Request, next *url.URL) bool {
	for _, r := range via {
		if !sameOrigin(first, r.URL) {
			return true
		}
	}
	return !sameOrigin(first, next)
}

// sameOrigin also accepts the usual step from http on port 80 to https on port 443.
func sameOrigin(a, b *url.URL) bool {
	if !strings.EqualFold(a.Hostname(), b.Hostname()) {
		return false
	}
	if a.Scheme == b.Scheme {
		return port(a) == port(b)
	}
	return a.Scheme == "http" && port(a) == "80" && b.Scheme == "https" && port(b) == "443"
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "https" {
		return "443"
	}
	return "80"
}

// Redact writes a URL without user information, query and fragment, each of which
// may be a secret.
func Redact(u *url.URL) string {
	clean := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, Opaque: u.Opaque}
	s := clean.String()
	if u.RawQuery != "" {
		s += "?…"
	}
	return s
}
