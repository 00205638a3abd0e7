package strict

import "encoding/binary"

// Reason says in one word what is wrong with what a client sent.
type Reason string

// Reasons for a refusal.
const (
	// BadLength: there is more than one opinion on where the request ends:
	// Content-Length beside Transfer-Encoding, several of one, a length that is no
	// number, a coding other than chunked, a coding in HTTP/1.0.
	BadLength Reason = "length"
	// BadChunk: a body's chunk has no proper size or end.
	BadChunk Reason = "chunk"
	// BadHost: Host is missing, there twice, malformed, or not that of the target.
	BadHost Reason = "host"
	// BadTarget: the request's target is none.
	BadTarget Reason = "target"
	// BadLine: the request line is none, or of another version than HTTP/1.0 and 1.1.
	BadLine Reason = "request_line"
	// BadField: a field's name or value has a character that it must not have.
	BadField Reason = "field"
	// BadEnd: a line does not end in CRLF, or goes on in the next one.
	BadEnd Reason = "line_end"
)

// Reasons has all of them.
var Reasons = [...]Reason{BadLength, BadChunk, BadHost, BadTarget, BadLine, BadField, BadEnd}

// state is what the next byte is expected to be.
type state uint8

const (
	atStart    state = iota // the first byte of a request
	atEmptyEnd              // the end of an empty line before it
	inPreface               // what HTTP/2 begins with
	inMethod
	atTarget
	inPath
	inScheme
	atSlashes // between scheme and authority
	inAuthority
	afterStar
	inTunnel // the target of CONNECT
	inVersion
	atLineCR
	atLineLF
	atField // a field's first byte, or the end of the head
	inName
	beforeValue
	inValue
	inHost
	inLength
	inCoding
	afterValue // blanks after a value that has ended
	atFieldLF
	atHeadLF
	inBody // left bytes
	atSize
	inSize
	inExtension
	atSizeLF
	inData // left bytes
	atDataCR
	atDataLF
)

// keyword is a field whose meaning matters here.
type keyword uint8

const (
	noKeyword keyword = iota
	hostField
	lengthField
	codingField
	upgradeField
)

var keywords = [...]string{hostField: "host", lengthField: "content-length", codingField: "transfer-encoding", upgradeField: "upgrade"}

const (
	coding  = "chunked"
	version = "HTTP/1."
	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	// prefaceOpen is how much of preface is no complete head yet.
	prefaceOpen = len("PRI * HTTP/2.0")

	methodConnect = 'C'<<48 | 'O'<<40 | 'N'<<32 | 'N'<<24 | 'E'<<16 | 'C'<<8 | 'T'
	methodOptions = 'O'<<48 | 'P'<<40 | 'T'<<32 | 'I'<<24 | 'O'<<16 | 'N'<<8 | 'S'
	methodPRI     = 'P'<<16 | 'R'<<8 | 'I'
	schemeHTTP    = 'h'<<24 | 't'<<16 | 't'<<8 | 'p'
	schemeHTTPS   = 'h'<<32 | 't'<<24 | 't'<<16 | 'p'<<8 | 's'
)

const (
	// maxMethod is the longest method.
	maxMethod = 32
	// maxAuthority is the longest authority of a target: a name of 255 bytes and a port.
	maxAuthority = 255 + len(":65535")
	// maxBody is the largest body or chunk: no number below overflows.
	maxBody = 1 << 60
	// maxSizeLine is the longest line with a chunk's size, which has extensions only
	// from those who want to waste our time.
	maxSizeLine = 256
	// maxExcess is how much of a body's chunks may be overhead, beyond 16 bytes for
	// each and twice what is in it. Go's server has the same rule with 16 KiB and
	// gives up there, in the middle of the body: it must never come to that.
	maxExcess = 8 << 10
	// maxTrailer is below what Go's server can take, which is its buffer of 4 KiB.
	maxTrailer = 3 << 10
)

// event says why scan has stopped.
type event uint8

const (
	more      event = iota // it has seen all bytes
	bad                    // the byte at the index must not go on; reason says why
	skip                   // the byte at the index means nothing and is to be left out
	mayChange              // a request that asks for another protocol ends before the index
	isHTTP2                // from the index on it is HTTP/2
)

// machine follows the requests on a connection, byte by byte, and keeps nothing
// of them but what their ends depend on. It never looks back, so it does not
// matter how the bytes are cut.
type machine struct {
	reason Reason
	state  state

	later      bool // it is not the connection's first request
	skipped    bool // an empty line before the request is an error
	http10     bool
	trailer    bool // the fields are those after a chunked body
	host       bool // Host was there
	length     bool // Content-Length was there
	chunked    bool // Transfer-Encoding was there
	upgrade    bool // Upgrade was there
	underscore bool // the name has _ where the keyword has -

	keyword keyword
	pos     int    // in the word that is compared, or the number of digits
	word    uint64 // the last eight bytes of method or scheme, so a shorter one as a whole
	left    int64  // of the body or the chunk; the number that is being read
	line    int    // bytes of the line with the chunk's size, or of the trailer
	excess  int64  // see maxExcess
	// authority is that of an absolute target, nil without one.
	authority []byte
}

// scan looks at p and returns how many of its bytes may go on, and what then.
func (m *machine) scan(p []byte) (int, event) {
	for i := 0; i < len(p); {
		if n := m.run(p[i:]); n > 0 {
			i += n
			if m.state == inBody && m.left == 0 {
				if e := m.end(); e != more {
					return i, e
				}
			}
			continue
		}
		switch e := m.step(p[i]); e {
		case more:
			i++
		case bad, skip:
			return i, e
		default:
			return i + 1, e
		}
	}
	return len(p), more
}

// run is how many of the first bytes of p say nothing new: step would take them
// too, one by one, and be in the same state then.
func (m *machine) run(p []byte) int {
	switch m.state {
	case inBody, inData:
		n := int(min(m.left, int64(len(p))))
		if m.left -= int64(n); m.left == 0 && m.state == inData {
			m.to(atDataCR)
		}
		return n
	case inPath:
		return span(p, inTargetURI)
	case inHost:
		if m.authority == nil {
			return span(p, inHostPort)
		}
	case atField:
		if !m.trailer {
			return lines(p)
		}
	case inName:
		switch {
		case m.trailer:
		case m.keyword == noKeyword:
			return span(p, inToken)
		case m.pos == 1 && startsWith(p, keywords[m.keyword][1:]):
			m.pos = len(keywords[m.keyword])
			return m.pos - 1
		}
	case inVersion:
		if m.pos == 0 && len(p) >= len(version) && string(p[:len(version)]) == version {
			m.pos = len(version)
			return m.pos
		}
	case inValue:
		if !m.trailer {
			return text(p)
		}
	}
	return 0
}

// lines is the length of the whole lines that p begins with, as far as they are
// sound fields without a keyword.
func lines(p []byte) int {
	read := 0
	for {
		line := p[read:]
		name := span(line, inToken)
		if name == 0 || name == len(line) || line[name] != ':' || mayBeKeyword(line[:name]) {
			return read
		}
		end := name + 1 + text(line[name+1:])
		if end+2 > len(line) || line[end] != '\r' || line[end+1] != '\n' {
			return read
		}
		read += end + 2
	}
}

// mayBeKeyword is quick and right whenever it says no.
func mayBeKeyword(name []byte) bool {
	for _, word := range keywords[1:] {
		if len(name) == len(word) && name[0]|0x20 == word[0] {
			return true
		}
	}
	return false
}

// startsWith is true of a word in whatever case.
func startsWith(p []byte, word string) bool {
	if len(p) < len(word) {
		return false
	}
	for i := range len(word) {
		if lower(p[i]) != word[i] {
			return false
		}
	}
	return true
}

// span is how many of the first bytes of p are of the class.
func span(p []byte, of class) int {
	for i, c := range p {
		if classes[c]&of == 0 {
			return i
		}
	}
	return len(p)
}

// text is span for what a field's value consists of, eight bytes at a time.
func text(p []byte) int {
	const low, high, blanks, dels = 0x0101010101010101, 0x8080808080808080, 0x2020202020202020, 0x7f7f7f7f7f7f7f7f
	i := 0
	for ; i+8 <= len(p); i += 8 {
		x := binary.LittleEndian.Uint64(p[i:])
		// A byte's high bit is left where it is below a blank, or DEL. It may be left in
		// a byte after one that is, which does not matter: then each is looked at.
		if control, del := (x-blanks)&^x, ((x^dels)-low)&^(x^dels); (control|del)&high != 0 {
			break
		}
	}
	return i + span(p[i:], inFieldText)
}
