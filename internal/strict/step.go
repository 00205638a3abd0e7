package strict

// refuse ends it: no byte goes on from here.
func (m *machine) refuse(why Reason) event {
	m.reason = why
	return bad
}

// to expects another kind of byte from here on.
func (m *machine) to(s state) event {
	m.state, m.pos = s, 0
	return more
}

// step takes one byte, whatever the state.
func (m *machine) step(c byte) event {
	switch {
	case m.state < atField:
		return m.requestLine(c)
	case m.state < inBody:
		return m.field(c)
	default:
		return m.chunk(c)
	}
}

// requestLine takes a byte of the first line, or of what may stand before it.
func (m *machine) requestLine(c byte) event {
	switch m.state {
	case atStart:
		if c == '\r' && !m.skipped {
			// Clients of old end a body with an empty line that is not of it (RFC 9112, 2.2).
			m.state = atEmptyEnd
			return skip
		}
		m.begin()
		return m.method(c)
	case atEmptyEnd:
		if c != '\n' {
			return m.refuse(BadEnd)
		}
		m.state, m.skipped = atStart, true
		return skip
	case inPreface:
		if c != preface[m.pos] {
			return m.refuse(BadLine)
		}
		if m.pos++; m.pos == len(preface) {
			return isHTTP2
		}
		return more
	case inMethod:
		return m.method(c)
	case inVersion:
		return m.version(c)
	case atLineCR:
		switch c {
		case '\r':
			return m.to(atLineLF)
		case '\n':
			return m.refuse(BadEnd)
		}
		return m.refuse(BadLine)
	case atLineLF:
		if c != '\n' {
			return m.refuse(BadEnd)
		}
		return m.to(atField)
	default:
		return m.target(c)
	}
}

// begin forgets the request before.
func (m *machine) begin() {
	*m = machine{later: m.later, state: inMethod}
}

func (m *machine) method(c byte) event {
	if classes[c]&inToken != 0 {
		if m.pos++; m.pos > maxMethod {
			return m.refuse(BadLine)
		}
		m.word = m.word<<8 | uint64(c)
		return more
	}
	if c != ' ' || m.pos == 0 {
		return m.refuse(BadLine)
	}
	switch m.word {
	case methodPRI:
		if m.later {
			return m.refuse(BadLine)
		}
		m.state, m.pos = inPreface, len("PRI ")
		return more
	case methodConnect:
		return m.to(inTunnel)
	}
	return m.to(atTarget)
}

// target takes a byte of the request's target, in one of its four forms
// (RFC 9112, 3.2).
func (m *machine) target(c byte) event {
	if c == ' ' {
		return m.targetEnd()
	}
	if classes[c]&inTargetURI == 0 {
		return m.refuse(BadTarget)
	}
	switch m.state {
	case atTarget:
		switch {
		case c == '/':
			return m.to(inPath)
		case c == '*' && m.word == methodOptions:
			return m.to(afterStar)
		default:
			m.state, m.word = inScheme, 0
			return m.scheme(c)
		}
	case inScheme:
		return m.scheme(c)
	case atSlashes:
		if c != '/' {
			return m.refuse(BadTarget)
		}
		if m.pos++; m.pos == 2 {
			m.authority = make([]byte, 0, 32)
			return m.to(inAuthority)
		}
	case inAuthority:
		switch {
		case c == '/' || c == '?':
			if len(m.authority) == 0 {
				return m.refuse(BadTarget)
			}
			return m.to(inPath)
		case classes[c]&inHostPort == 0 || len(m.authority) == maxAuthority:
			return m.refuse(BadTarget)
		}
		m.authority = append(m.authority, lower(c))
	case afterStar:
		return m.refuse(BadTarget)
	case inTunnel:
		m.pos = 1
	}
	return more
}

func (m *machine) scheme(c byte) event {
	if c == ':' {
		if m.word != schemeHTTP && m.word != schemeHTTPS {
			return m.refuse(BadTarget)
		}
		return m.to(atSlashes)
	}
	m.word = m.word<<8 | uint64(lower(c))
	return more
}

func (m *machine) targetEnd() event {
	switch m.state {
	case inPath, afterStar:
		return m.to(inVersion)
	case inAuthority:
		if len(m.authority) > 0 {
			return m.to(inVersion)
		}
	case inTunnel:
		if m.pos > 0 {
			return m.to(inVersion)
		}
	}
	return m.refuse(BadTarget)
}

func (m *machine) version(c byte) event {
	switch {
	case m.pos < len(version) && c == version[m.pos]:
		m.pos++
		return more
	case m.pos == len(version) && (c == '1' || c == '0'):
		m.http10 = c == '0'
		return m.to(atLineCR)
	}
	return m.refuse(BadLine)
}

// end is the end of a request.
func (m *machine) end() event {
	asked := m.upgrade
	*m = machine{later: true}
	if asked {
		return mayChange
	}
	return more
}
