package strict

// class says where a byte may stand.
type class uint8

const (
	inToken     class = 1 << iota // a method, a field's name (RFC 9110, 5.6.2)
	inFieldText                   // a field's value: whatever is printed, blanks, and text beyond ASCII
	inTargetURI                   // a request's target. Beyond ASCII is not a URI, but some clients send it
	inHostPort                    // an authority without user information (RFC 3986, 3.2)
)

var classes = func() (t [256]class) {
	for c := range t {
		if c > ' ' && c != 0x7f {
			t[c] = inFieldText | inTargetURI
		}
	}
	t[' '], t['\t'] = inFieldText, inFieldText
	// A fragment is never sent; who gets one disagrees on whether it is of the path.
	t['#'] &^= inTargetURI
	for c := range byte(128) {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			t[c] |= inToken | inHostPort
		}
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] |= inToken
	}
	for _, c := range []byte("-._~%!$&'()*+,;=:[]") {
		t[c] |= inHostPort
	}
	return t
}()

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// digit is the value of a hexadecimal digit, 16 for what is none.
func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}
