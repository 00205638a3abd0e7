package download

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSizesAreBounded(t *testing.T) {
	chunked := func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write([]byte(body))
	}
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"announced": file(body, `"v1"`), "found while reading": chunked,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(o *Options) { o.MaxBytes = 35 })
			s, addr := serve(t, answer)
			_, err := f.fetch(t, addr)
			require.ErrorContains(t, err, "35")
			require.ErrorContains(t, err, "STORAGE_MAX_BYTES")
			require.Len(t, s.ranges(), 1)
		})
	}
}

func TestAFileLargerThanTheVolumeIsRefusedBeforeItFillsIt(t *testing.T) {
	f := newFixture(t, nil)
	huge := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.FormatInt(1<<60, 10))
		_ = http.NewResponseController(w).Flush()
	}
	_, addr := serve(t, huge)
	_, err := f.fetch(t, addr)
	require.ErrorContains(t, err, "free")
}

func TestCredentialsStayWithTheirServer(t *testing.T) {
	var seen []http.Header
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Clone())
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(target.Close)
	s, addr := serve(t,
		func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/moved", http.StatusFound) },
		func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target.URL, http.StatusFound) })
	f := newFixture(t, nil)
	u, err := url.Parse(addr + "?X-Signature=topsecret")
	require.NoError(t, err)
	u.User = url.UserPassword("me", "hunter2")
	_, err = f.Fetch(context.Background(), Request{URL: u, Dir: f.dir, Header: http.Header{"x-api-key": {"k3y"}}})
	require.NoError(t, err)
	require.Equal(t, "k3y", s.requests[0].Get("X-Api-Key"))
	require.Equal(t, "k3y", s.requests[1].Get("X-Api-Key"), "a redirect within the server keeps them")
	require.Len(t, seen, 1)
	require.Empty(t, seen[0].Get("X-Api-Key"))
	require.Empty(t, seen[0].Get("Authorization"))
	require.Empty(t, seen[0].Get("Referer"))
	for _, secret := range []string{"topsecret", "hunter2", "k3y"} {
		require.NotContains(t, f.log.String(), secret)
	}
}

func TestErrorsHoldNoSecret(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Attempts = 1 })
	srv := httptest.NewServer(http.NotFoundHandler())
	addr := srv.URL
	srv.Close() // nobody listens there any more
	_, err := f.fetch(t, strings.Replace(addr, "http://", "http://me:hunter2@", 1)+"/m?sig=topsecret")
	require.ErrorContains(t, err, "/m?…")
	require.NotContains(t, err.Error()+f.log.String(), "topsecret")
	require.NotContains(t, err.Error()+f.log.String(), "hunter2")
}

func TestRedirectsAreBoundedAndNeverLeaveTLS(t *testing.T) {
	f := newFixture(t, nil)
	loop := httptest.NewServer(http.RedirectHandler("/again", http.StatusFound))
	t.Cleanup(loop.Close)
	_, err := f.fetch(t, loop.URL)
	require.ErrorContains(t, err, "more than 10 redirects")
	require.Empty(t, f.clock.slept)

	down := httptest.NewTLSServer(http.RedirectHandler(loop.URL, http.StatusFound))
	t.Cleanup(down.Close)
	f = newFixture(t, func(o *Options) { o.Transport = down.Client().Transport })
	_, err = f.fetch(t, down.URL)
	require.ErrorContains(t, err, "from https to http")

	f = newFixture(t, nil)
	_, err = f.fetch(t, down.URL)
	require.ErrorContains(t, err, "caBundleConfigMapName", "an unknown authority is final and has a remedy")
	require.Empty(t, f.clock.slept)
}

func TestSameOriginAllowsOnlyTheUsualUpgrade(t *testing.T) {
	for name, c := range map[string]struct {
		a, b string
		want bool
	}{
		"the same":                   {"https://h/a", "https://H:443/b", true},
		"from http to https":         {"http://h/a", "https://h/a", true},
		"from http to an odd port":   {"http://h/a", "https://h:8443/a", false},
		"another port":               {"http://h/a", "http://h:81/a", false},
		"a subdomain":                {"https://h/a", "https://x.h/a", false},
		"from an odd port to https":  {"http://h:8080/a", "https://h/a", false},
		"from https to plain, never": {"https://h/a", "http://h/a", false},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := url.Parse(c.a)
			require.NoError(t, err)
			b, err := url.Parse(c.b)
			require.NoError(t, err)
			require.Equal(t, c.want, sameOrigin(a, b))
		})
	}
}
