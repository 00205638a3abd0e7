package strict

// field takes a byte of a head's fields, or of a trailer's.
func (m *machine) field(c byte) event {
	if m.trailer {
		if m.line++; m.line > maxTrailer {
			return m.refuse(BadField)
		}
	}
	switch m.state {
	case atField:
		return m.fieldStart(c)
	case inName:
		return m.name(c)
	case atFieldLF:
		if c != '\n' {
			return m.refuse(BadEnd)
		}
		return m.to(atField)
	case atHeadLF:
		if c != '\n' {
			return m.refuse(BadEnd)
		}
		return m.headEnd()
	}
	switch {
	case c == '\r':
		return m.valueEnd()
	case c == '\n':
		return m.refuse(BadEnd)
	case classes[c]&inFieldText == 0:
		return m.refuse(BadField)
	}
	return m.value(c)
}

func (m *machine) fieldStart(c byte) event {
	switch c {
	case '\r':
		if !m.trailer && !m.host && !m.http10 {
			return m.refuse(BadHost)
		}
		return m.to(atHeadLF)
	case ' ', '\t', '\n':
		// A line that goes on here is read as one line, as two, or as the end of the head.
		return m.refuse(BadEnd)
	case ':':
		return m.refuse(BadField)
	}
	m.state, m.pos, m.underscore, m.keyword = inName, 0, false, noKeyword
	for k := hostField; int(k) < len(keywords); k++ {
		if lower(c) == keywords[k][0] {
			m.keyword = k
		}
	}
	return m.name(c)
}

// name takes a byte of a field's name. A server that hands its application CGI
// variables writes both - and _ as _, so a keyword with the latter may count there.
func (m *machine) name(c byte) event {
	if c == ':' {
		return m.nameEnd()
	}
	if classes[c]&inToken == 0 {
		return m.refuse(BadField)
	}
	if m.keyword == noKeyword {
		return more
	}
	word := keywords[m.keyword]
	switch {
	case m.pos == len(word):
		m.keyword = noKeyword
	case c == '_' && word[m.pos] == '-':
		m.underscore = true
	case lower(c) != word[m.pos]:
		m.keyword = noKeyword
	}
	m.pos++
	return more
}

func (m *machine) nameEnd() event {
	if m.keyword != noKeyword && m.pos < len(keywords[m.keyword]) {
		m.keyword = noKeyword
	}
	if m.keyword != noKeyword && (m.underscore || m.trailer) {
		// In a trailer it would come after it was needed.
		return m.refuse(BadField)
	}
	switch m.keyword {
	case hostField:
		if m.host {
			return m.refuse(BadHost)
		}
		m.host = true
	case lengthField:
		if m.length || m.chunked {
			return m.refuse(BadLength)
		}
		m.length = true
	case codingField:
		if m.chunked || m.length || m.http10 {
			return m.refuse(BadLength)
		}
		m.chunked = true
	case upgradeField:
		m.upgrade = true
	}
	return m.to(beforeValue)
}

// value takes a byte of a field's value that is no end and may stand in one.
func (m *machine) value(c byte) event {
	blank := c == ' ' || c == '\t'
	switch m.state {
	case beforeValue:
		if blank {
			return more
		}
		m.begins()
		return m.value(c)
	case inHost:
		if blank {
			return m.hostEnd(afterValue)
		}
		if classes[c]&inHostPort == 0 || m.authority != nil && (m.pos == len(m.authority) || lower(c) != m.authority[m.pos]) {
			return m.refuse(BadHost)
		}
		m.pos++
	case inLength:
		if blank {
			return m.to(afterValue)
		}
		d := digit(c)
		if d > 9 || m.left > (maxBody-9)/10 {
			return m.refuse(BadLength)
		}
		m.left = m.left*10 + int64(d)
	case inCoding:
		if blank && m.pos == len(coding) {
			return m.to(afterValue)
		}
		if m.pos == len(coding) || lower(c) != coding[m.pos] {
			return m.refuse(BadLength)
		}
		m.pos++
	case afterValue:
		if blank {
			return more
		}
		if m.keyword == hostField {
			return m.refuse(BadHost)
		}
		return m.refuse(BadLength)
	}
	return more
}

// begins is where a value begins, its blanks read.
func (m *machine) begins() {
	switch m.keyword {
	case hostField:
		m.to(inHost)
	case lengthField:
		m.to(inLength)
	case codingField:
		m.to(inCoding)
	default:
		m.to(inValue)
	}
}

func (m *machine) valueEnd() event {
	switch m.state {
	case beforeValue:
		// Nothing but blanks. No Host at all is allowed, nothing for a length is not.
		if m.keyword == lengthField || m.keyword == codingField {
			return m.refuse(BadLength)
		}
		if m.keyword == hostField {
			m.pos = 0
			return m.hostEnd(atFieldLF)
		}
	case inHost:
		return m.hostEnd(atFieldLF)
	case inCoding:
		if m.pos < len(coding) {
			return m.refuse(BadLength)
		}
	}
	return m.to(atFieldLF)
}

func (m *machine) hostEnd(next state) event {
	if m.authority != nil && m.pos != len(m.authority) {
		return m.refuse(BadHost)
	}
	return m.to(next)
}

// headEnd is the end of a head or a trailer.
func (m *machine) headEnd() event {
	switch {
	case m.trailer:
		return m.end()
	case m.chunked:
		m.left = 0
		return m.to(atSize)
	case m.left > 0:
		return m.to(inBody)
	}
	return m.end()
}
