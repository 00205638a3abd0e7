package strict_test

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
)

// This is what the machine is compared with: the same rules, written down as
// expressions over the whole text, by looking ahead wherever that is simplest.

var (
	requestLine = regexp.MustCompile(`\A([!#$%&'*+\-.^_` + "`" + `|~0-9A-Za-z]{1,32}) ([^\x00-\x20\x7f#]+) HTTP/1\.([01])\r\n`)
	fieldLine   = regexp.MustCompile(`\A([!#$%&'*+\-.^_` + "`" + `|~0-9A-Za-z]+):[\t ]*([^\x00-\x08\x0a-\x1f\x7f]*?)[\t ]*\r\n`)
	hostValue   = regexp.MustCompile(`\A[0-9A-Za-z\-._~%!$&'()*+,;=:\[\]]*\z`)
	absolute    = regexp.MustCompile(`\A(?i:https?)://([0-9A-Za-z\-._~%!$&'()*+,;=:\[\]]{1,261})([/?].*)?\z`)
	length      = regexp.MustCompile(`\A[0-9]+\z`)
	sizeLine    = regexp.MustCompile(`\A([0-9a-fA-F]{1,16})(;[^\x00-\x08\x0a-\x1f\x7f]*)?\r\n`)
	preamble    = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// message is a request as the reference understands it.
type message struct {
	method, target string
	body           string
	chunked        bool
	upgrade        bool
}

// verdict is the reference's opinion on a whole stream.
type verdict struct {
	whole   []message
	refused bool // what follows the whole ones is wrong
	http2   bool
}

// reference reads a stream that has ended. Where it ends within a request it does
// not say whether that would have been refused.
func reference(s []byte) verdict {
	var v verdict
	for {
		skipped := bytes.HasPrefix(s, []byte("\r\n"))
		if skipped {
			s = s[2:]
		}
		if len(v.whole) == 0 && bytes.HasPrefix(s, []byte(preamble)) {
			v.http2 = true
			return v
		}
		if len(v.whole) == 0 && strings.HasPrefix(preamble, string(s)) {
			return v
		}
		m, rest, ok, whole := readMessage(s)
		if !ok {
			v.refused = true
			return v
		}
		if !whole {
			return v
		}
		v.whole = append(v.whole, m)
		s = rest
	}
}

// readMessage reads one request: ok is false where it is wrong, whole is false
// where it goes on after the end or where that cannot be told.
func readMessage(s []byte) (m message, rest []byte, ok, whole bool) {
	line := requestLine.FindSubmatch(s)
	if line == nil {
		return m, nil, !bytes.ContainsAny(s, "\n"), false
	}
	m.method, m.target = string(line[1]), string(line[2])
	authority, fine := "", true
	switch {
	case m.method == "PRI":
		return m, nil, false, false
	case m.method == "CONNECT":
	case m.target == "*":
		fine = m.method == "OPTIONS"
	case !strings.HasPrefix(m.target, "/"):
		parts := absolute.FindStringSubmatch(m.target)
		if fine = parts != nil; fine {
			authority = parts[1]
		}
	}
	if !fine {
		return m, nil, false, false
	}
	fields, rest, ok, whole := readFields(s[len(line[0]):])
	if !ok || !whole {
		return m, nil, ok, false
	}
	old := string(line[3]) == "0"
	hosts, lengths, codings := fields["host"], fields["content-length"], fields["transfer-encoding"]
	_, m.upgrade = fields["upgrade"]
	switch {
	case len(hosts) > 1, len(hosts) == 0 && !old,
		len(hosts) == 1 && !hostValue.MatchString(hosts[0]),
		len(hosts) == 1 && authority != "" && !strings.EqualFold(hosts[0], authority),
		len(lengths)+len(codings) > 1,
		len(lengths) == 1 && (!length.MatchString(lengths[0]) || tooLong(lengths[0])),
		len(codings) == 1 && (old || !strings.EqualFold(codings[0], "chunked")):
		return m, nil, false, false
	case len(codings) == 1:
		m.chunked = true
		m.body, rest, ok, whole = readChunks(rest)
		return m, rest, ok, whole
	case len(lengths) == 1:
		n, _ := strconv.Atoi(lengths[0])
		if n > len(rest) {
			return m, nil, true, false
		}
		m.body, rest = string(rest[:n]), rest[n:]
	}
	return m, rest, true, true
}

func tooLong(length string) bool {
	n, err := strconv.ParseUint(length, 10, 64)
	return err != nil || n >= 1<<60-7
}

// readFields reads fields to the empty line after them.
func readFields(s []byte) (fields map[string][]string, rest []byte, ok, whole bool) {
	fields = map[string][]string{}
	for !bytes.HasPrefix(s, []byte("\r\n")) {
		line := fieldLine.FindSubmatch(s)
		if line == nil {
			return nil, nil, !bytes.ContainsAny(s, "\n"), false
		}
		name := strings.ToLower(string(line[1]))
		switch strings.ReplaceAll(name, "_", "-") {
		case "host", "content-length", "transfer-encoding", "upgrade":
			if strings.Contains(name, "_") {
				return nil, nil, false, false
			}
		}
		fields[name] = append(fields[name], string(line[2]))
		s = s[len(line[0]):]
	}
	return fields, s[2:], true, true
}

// readChunks reads a chunked body.
func readChunks(s []byte) (body string, rest []byte, ok, whole bool) {
	excess := 0
	for {
		line := sizeLine.FindSubmatch(s)
		if line == nil || len(line[0]) > 257 {
			return "", nil, line == nil && !bytes.ContainsAny(s, "\n"), false
		}
		s = s[len(line[0]):]
		n, err := strconv.ParseUint(string(line[1]), 16, 60)
		if err != nil {
			return "", nil, false, false
		}
		if excess = max(0, excess+len(line[0])-16-2*int(n)); excess > 8<<10 {
			return "", nil, false, false
		}
		if n == 0 {
			break
		}
		if uint64(len(s)) < n {
			return "", nil, true, false
		}
		body += string(s[:n])
		s = s[n:]
		if len(s) < 2 {
			return "", nil, true, false
		}
		if s[0] != '\r' || s[1] != '\n' {
			return "", nil, false, false
		}
		s = s[2:]
	}
	fields, rest, ok, whole := readFields(s)
	if !ok || !whole {
		return "", nil, ok, false
	}
	if len(s)-len(rest) > 3<<10 {
		return "", nil, false, false
	}
	for _, name := range []string{"host", "content-length", "transfer-encoding", "upgrade"} {
		if len(fields[name]) > 0 {
			return "", nil, false, false
		}
	}
	return body, rest, true, true
}
