package strict

// maxDigits is how many digits a chunk's size may have, zeros before it included.
const maxDigits = 16

// chunk takes a byte of a chunked body that is not of its contents (RFC 9112, 7.1).
func (m *machine) chunk(c byte) event {
	switch m.state {
	case atSize, inSize, inExtension:
		if m.line++; m.line > maxSizeLine {
			return m.refuse(BadChunk)
		}
		return m.size(c)
	case atSizeLF:
		if c != '\n' {
			return m.refuse(BadChunk)
		}
		return m.sizeEnd()
	case atDataCR:
		if c != '\r' {
			return m.refuse(BadChunk)
		}
		return m.to(atDataLF)
	case atDataLF:
		if c != '\n' {
			return m.refuse(BadChunk)
		}
		return m.to(atSize)
	default:
		// inBody and inData are run's.
		return m.refuse(BadLength)
	}
}

func (m *machine) size(c byte) event {
	if m.state == atSize {
		if digit(c) > 15 {
			return m.refuse(BadChunk)
		}
		m.left = 0
		m.to(inSize)
	}
	switch {
	case c == '\r':
		return m.to(atSizeLF)
	case m.state == inExtension:
		if classes[c]&inFieldText == 0 {
			return m.refuse(BadChunk)
		}
	case c == ';':
		m.state = inExtension
	case digit(c) > 15 || m.pos == maxDigits || m.left >= maxBody>>4:
		// Also for a blank. Before an extension RFC 9112 has one tolerated, but Go's
		// server would break off there, and no client sends it.
		return m.refuse(BadChunk)
	default:
		m.pos++
		m.left = m.left<<4 | int64(digit(c))
	}
	return more
}

func (m *machine) sizeEnd() event {
	// The line with its LF, as Go counts: it leaves out one of the two ends.
	m.excess = max(0, m.excess+int64(m.line)+1-16-2*m.left)
	if m.excess > maxExcess {
		return m.refuse(BadChunk)
	}
	m.line = 0
	if m.left > 0 {
		return m.to(inData)
	}
	m.trailer = true
	return m.to(atField)
}
