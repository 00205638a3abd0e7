package collect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// timeout bounds one question, so that the answer is there before the next.
	timeout = 900 * time.Millisecond
	// agentLimit and activatorLimit bound an answer's size: an agent's is some 150
	// bytes, an activator's that for each of at most 22,000 routes.
	agentLimit     = 16 << 10
	activatorLimit = 16 << 20
)

// errInvalid marks an answer that came but cannot be used.
var errInvalid = errors.New("unusable answer")

// newClient returns an HTTP client for asking pods, whose owners are not trusted:
// it follows no redirect, so that a pod cannot make us call somebody else; takes
// no compressed answer, so that a small one cannot unfold into a large one; uses
// no proxy; and keeps one connection to each pod.
func newClient() *http.Client {
	dialer := &net.Dialer{Timeout: timeout, KeepAlive: 15 * time.Second}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			DisableCompression:     true,
			MaxIdleConnsPerHost:    1,
			MaxConnsPerHost:        2,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 8 << 10,
			ReadBufferSize:         1 << 10,
			WriteBufferSize:        1 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// getJSON reads a JSON document of at most limit bytes. Nothing of the answer
// gets into an error, which ends up in our log, but its status and what the JSON
// decoder says.
func getJSON(ctx context.Context, c *http.Client, url string, limit int64, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("asking %s: %w", url, err)
	}
	req.Header.Set("User-Agent", "rawserve-metrics-adapter")
	resp, err := c.Do(req)
	if err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", url, err)
	}
	switch {
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%w of %s: status %d", errInvalid, url, resp.StatusCode)
	case int64(len(body)) > limit:
		return fmt.Errorf("%w of %s: more than %d bytes", errInvalid, url, limit)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%w of %s: %w", errInvalid, url, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w of %s: something follows the JSON document", errInvalid, url)
	}
	return nil
}
