package download

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// known is what is known about the file from earlier answers.
type known struct {
	// Size is the whole file's size, -1 where the server did not tell.
	Size int64
	// ETag and LastModified are the server's validators, "" where absent.
	ETag, LastModified string
}

// validator is the value for If-Range, "" where the file cannot be resumed: without
// one, the rest of another version could be glued to this one's beginning. Weak ETags
// do not promise the same bytes, and HTTP forbids them here.
func (k known) validator() string {
	if k.ETag != "" {
		if strings.HasPrefix(k.ETag, "W/") {
			return ""
		}
		return k.ETag
	}
	return k.LastModified
}

// verdict says what to do with an answer that brings bytes.
type verdict struct {
	// Offset is where the body's first byte belongs.
	Offset int64
	// Known replaces what was known.
	Known known
}

// changedError says that the bytes at hand are of no use and must be dropped.
type changedError struct{ error }

// judge decides about an answer to a request for everything from offset on. now dates
// a Retry-After that is a point in time.
func judge(resp *http.Response, offset int64, have known, now time.Time) (verdict, error) {
	switch {
	case resp.StatusCode == http.StatusOK:
		return verdict{Known: describe(resp, resp.ContentLength)}, nil
	case resp.StatusCode == http.StatusPartialContent && offset > 0:
		return judgePartial(resp, offset, have)
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && offset > 0:
		return verdict{}, changedError{fmt.Errorf("the server has no bytes from %d on (%s): the file has changed", offset, resp.Status)}
	case mayEnd(resp.StatusCode):
		return verdict{}, retryAfterError{fmt.Errorf("the server answered %s", resp.Status), retryAfter(resp.Header.Get("Retry-After"), now)}
	}
	return verdict{}, final("the server answered %s%s", resp.Status, hint(resp.StatusCode))
}

// judgePartial accepts the rest of the very same file only. Servers exist that honour
// Range and ignore If-Range, so its promise is checked.
func judgePartial(resp *http.Response, offset int64, have known) (verdict, error) {
	start, total, err := parseContentRange(resp.Header.Get("Content-Range"))
	switch {
	case err != nil:
		return verdict{}, changedError{err}
	case start != offset:
		return verdict{}, changedError{fmt.Errorf("the server sent bytes from %d on, not from %d", start, offset)}
	case have.Size >= 0 && total >= 0 && total != have.Size:
		return verdict{}, changedError{fmt.Errorf("the file had %d bytes and has %d now", have.Size, total)}
	}
	if tag := resp.Header.Get("ETag"); tag != "" && tag != have.ETag {
		return verdict{}, changedError{fmt.Errorf("the file's ETag was %s and is %s now", have.ETag, tag)}
	}
	if at := resp.Header.Get("Last-Modified"); have.ETag == "" && at != "" && at != have.LastModified {
		return verdict{}, changedError{fmt.Errorf("the file was modified at %q and is now at %q", have.LastModified, at)}
	}
	if have.Size < 0 {
		have.Size = total
	}
	return verdict{Offset: offset, Known: have}, nil
}

func describe(resp *http.Response, size int64) known {
	return known{Size: size, ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified")}
}

// parseContentRange reads "bytes 5-9/10"; total is -1 for "*".
func parseContentRange(value string) (start, total int64, err error) {
	rest, ok := strings.CutPrefix(value, "bytes ")
	first, after, ok2 := strings.Cut(rest, "-")
	last, size, ok3 := strings.Cut(after, "/")
	if !ok || !ok2 || !ok3 {
		return 0, 0, fmt.Errorf("the server sent the unreadable Content-Range %q", value)
	}
	start, err1 := strconv.ParseInt(first, 10, 64)
	end, err2 := strconv.ParseInt(last, 10, 64)
	total = -1
	var err3 error
	if size != "*" {
		total, err3 = strconv.ParseInt(size, 10, 64)
	}
	if err1 != nil || err2 != nil || err3 != nil || start < 0 || end < start || total >= 0 && end >= total {
		return 0, 0, fmt.Errorf("the server sent the unreadable Content-Range %q", value)
	}
	return start, total, nil
}

// mayEnd reports whether a status may go away by itself.
func mayEnd(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return status >= 500
}

// retryAfter reads seconds or a date; 0 where there is neither.
func retryAfter(value string, now time.Time) time.Duration {
	if s, err := strconv.Atoi(value); err == nil && s > 0 {
		return min(time.Duration(s), maxRetryAfter/time.Second) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return min(at.Sub(now), maxRetryAfter)
	}
	return 0
}

// hint says what the person on call can do.
func hint(status int) string {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "; check the URI's signature or the secret with https-host and headers of the service account"
	case http.StatusNotFound, http.StatusGone:
		return "; check the storage URI"
	}
	return ""
}
