// Package stricttest has requests that two servers might read differently, and
// what a careful one does with each. It is for tests of whatever reads requests.
package stricttest

import (
	"strings"

	"github.com/rawserve/rawserve/internal/strict"
)

// Case is what one client sends on one connection.
type Case struct {
	// Name says what is special.
	Name string
	// Raw is what is sent.
	Raw string
	// Reason is why something in it is refused; empty: nothing is.
	Reason strict.Reason
	// Goes are the requests that a server gets, each as "METHOD target body".
	Goes []string
	// Entered: a server is entered by the refused request too, and its body breaks off.
	Entered bool
}

const (
	host  = "Host: m\r\n"
	get   = "GET / HTTP/1.1\r\n" + host + "\r\n"
	post  = "POST /p HTTP/1.1\r\n" + host
	inner = "GET /hidden HTTP/1.1\r\nHost: m\r\n\r\n"
)

// Cases are all of them.
func Cases() []Case {
	var all []Case
	refuse := func(reason strict.Reason, name, raw string) {
		all = append(all, Case{Name: name, Raw: raw, Reason: reason})
	}
	serve := func(name, raw string, goes ...string) { all = append(all, Case{Name: name, Raw: raw, Goes: goes}) }
	broken := func(name, raw string) {
		all = append(all, Case{Name: name, Raw: raw, Reason: strict.BadChunk, Entered: true})
	}
	lengths(refuse)
	lines(refuse)
	hosts(refuse, serve)
	chunks(broken, serve)
	harmless(serve)
	sequences(&all)
	return all
}

type (
	refusal func(reason strict.Reason, name, raw string)
	service func(name, raw string, goes ...string)
)

// lengths have more than one opinion on where the request ends.
func lengths(refuse refusal) {
	fields := func(name, fields, rest string) { refuse(strict.BadLength, name, post+fields+"\r\n"+rest) }
	hidden := "0\r\n\r\n" + inner
	fields("a length and a coding", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", hidden)
	fields("a coding and a length", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", hidden)
	fields("a length of zero and a coding", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", hidden)
	fields("two lengths", "Content-Length: 0\r\nContent-Length: 36\r\n", inner)
	fields("two equal lengths", "Content-Length: 1\r\nContent-Length: 1\r\n", "x")
	fields("a list of lengths", "Content-Length: 1, 1\r\n", "x")
	fields("a length with a sign", "Content-Length: +1\r\n", "x")
	fields("a negative length", "Content-Length: -1\r\n", "x")
	fields("a hexadecimal length", "Content-Length: 0x1\r\n", "x")
	fields("an empty length", "Content-Length:\r\n", "")
	fields("a blank length", "Content-Length: \t\r\n", "")
	fields("a length in two words", "Content-Length: 1 0\r\n", "x")
	fields("a length with a fraction", "Content-Length: 1.0\r\n", "x")
	fields("a length beyond 64 bits", "Content-Length: 18446744073709551617\r\n", "x")
	fields("a length beyond any body", "Content-Length: 9223372036854775807\r\n", "x")
	fields("two codings in one field", "Transfer-Encoding: gzip, chunked\r\n", hidden)
	fields("chunked and something after it", "Transfer-Encoding: chunked, identity\r\n", hidden)
	fields("chunked twice in one field", "Transfer-Encoding: chunked, chunked\r\n", hidden)
	fields("chunked in two fields", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", hidden)
	fields("chunked and identity", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", hidden)
	fields("another coding", "Transfer-Encoding: identity\r\n", hidden)
	fields("nearly chunked", "Transfer-Encoding: xchunked\r\n", hidden)
	fields("chunked in quotes", "Transfer-Encoding: \"chunked\"\r\n", hidden)
	fields("chunked with a parameter", "Transfer-Encoding: chunked;q=1\r\n", hidden)
	fields("an empty coding", "Transfer-Encoding:\r\n", hidden)
	fields("half of chunked", "Transfer-Encoding: chunk\r\n", hidden)
	refuse(strict.BadLength, "a coding in HTTP/1.0", "POST / HTTP/1.0\r\n"+host+"Transfer-Encoding: chunked\r\n\r\n"+hidden)
	refuse(strict.BadLength, "a coding in HTTP/1.0 with keep-alive", "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"+hidden)
}

// lines are not what lines of a head look like.
func lines(refuse refusal) {
	fields := func(reason strict.Reason, name, fields string) {
		refuse(reason, name, post+fields+"\r\n0\r\n\r\n"+inner)
	}
	fields(strict.BadEnd, "a folded line", "X: a\r\n b\r\n")
	fields(strict.BadEnd, "a coding on a folded line", "X: a\r\n Transfer-Encoding: chunked\r\n")
	fields(strict.BadLength, "a coding's value on a folded line", "Transfer-Encoding:\r\n\tchunked\r\nY: b\r\n")
	fields(strict.BadEnd, "a line of blanks", "X: a\r\n \r\n")
	fields(strict.BadEnd, "a coding behind a bare LF", "X: a\nTransfer-Encoding: chunked\r\n")
	fields(strict.BadEnd, "a coding before a bare LF", "Transfer-Encoding: chunked\n")
	fields(strict.BadEnd, "a coding behind a bare CR", "X: a\rTransfer-Encoding: chunked\r\n")
	fields(strict.BadEnd, "an end with two CRs", "X: a\r\r\n")
	fields(strict.BadField, "a blank before the colon", "Transfer-Encoding : chunked\r\n")
	fields(strict.BadField, "a tab before the colon", "Content-Length\t: 5\r\n")
	fields(strict.BadField, "no colon", "Transfer-Encoding chunked\r\n")
	fields(strict.BadField, "no name", ": chunked\r\n")
	fields(strict.BadField, "a vertical tab before the value", "Transfer-Encoding:\vchunked\r\n")
	fields(strict.BadField, "a null in a value", "X: a\x00b\r\n")
	fields(strict.BadField, "a DEL in a value", "X: a\x7fb\r\n")
	fields(strict.BadField, "a DEL in a long value", "X: "+strings.Repeat("\xe9", 20)+"\x7f"+strings.Repeat("b", 20)+"\r\n")
	fields(strict.BadField, "a null in a name", "X\x00: a\r\n")
	fields(strict.BadField, "a name beyond ASCII", "Transfer-Encoding\xa0: chunked\r\n")
	fields(strict.BadField, "a CR in a name", "Transfer\r-Encoding: chunked\r\n")
	fields(strict.BadField, "a name in brackets", "(X): a\r\n")
	fields(strict.BadField, "a length as CGI would spell it", "Content_Length: 5\r\n")
	fields(strict.BadField, "a coding as CGI would spell it", "Transfer_Encoding: chunked\r\n")
	refuse(strict.BadEnd, "a bare LF after the first line", "GET / HTTP/1.1\n"+host+"\r\n")
	refuse(strict.BadEnd, "bare LFs throughout", "GET / HTTP/1.1\r\nHost: m\n\n")
	refuse(strict.BadEnd, "a head that ends in a bare LF", "GET / HTTP/1.1\r\nHost: m\r\n\n")
	refuse(strict.BadEnd, "a head that begins with a blank", "GET / HTTP/1.1\r\n "+host+"\r\n")
	refuse(strict.BadLine, "HTTP/1.2", "GET / HTTP/1.2\r\n"+host+"\r\n")
	refuse(strict.BadLine, "HTTP/2.0 in a request line", "GET / HTTP/2.0\r\n"+host+"\r\n")
	refuse(strict.BadTarget, "HTTP/0.9", "GET /\r\n")
	refuse(strict.BadLine, "a version of two digits", "GET / HTTP/1.10\r\n"+host+"\r\n")
	refuse(strict.BadLine, "a version in lower case", "GET / http/1.1\r\n"+host+"\r\n")
	refuse(strict.BadLine, "a blank after the version", "GET / HTTP/1.1 \r\n"+host+"\r\n")
	refuse(strict.BadLine, "two blanks after the target", "GET /  HTTP/1.1\r\n"+host+"\r\n")
	refuse(strict.BadTarget, "two blanks after the method", "GET  / HTTP/1.1\r\n"+host+"\r\n")
	refuse(strict.BadLine, "a tab after the method", "GET\t/ HTTP/1.1\r\n"+host+"\r\n")
	refuse(strict.BadLine, "a blank in the target", "GET /a b HTTP/1.1\r\n"+host+"\r\n")
	refuse(strict.BadLine, "a blank before the method", " "+get)
	refuse(strict.BadLine, "a method with a colon", "G:ET / HTTP/1.1\r\n"+host+"\r\n")
	refuse(strict.BadLine, "an endless method", strings.Repeat("G", 40)+" / HTTP/1.1\r\n"+host+"\r\n")
	refuse(strict.BadLine, "two empty lines before", "\r\n\r\n"+get)
	refuse(strict.BadLine, "a bare LF before", "\n"+get)
	refuse(strict.BadLine, "half of what HTTP/2 begins with", "PRI * HTTP/2.0\r\n\r\n"+inner)
	refuse(strict.BadLine, "PRI as a method", "PRI / HTTP/1.1\r\n"+host+"\r\n")
	refuse(strict.BadLine, "a TLS handshake", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03")
}

// hosts have no Host, too many of it, or one that contradicts the target.
func hosts(refuse refusal, serve service) {
	long := strings.Repeat("m", 300)
	refuse(strict.BadHost, "no Host", "GET / HTTP/1.1\r\nX: a\r\n\r\n")
	refuse(strict.BadHost, "no field at all", "GET / HTTP/1.1\r\n\r\n")
	refuse(strict.BadHost, "two Hosts", "GET / HTTP/1.1\r\nHost: m\r\nHost: n\r\n\r\n")
	refuse(strict.BadHost, "two equal Hosts", "GET / HTTP/1.1\r\nHost: m\r\nHost: m\r\n\r\n")
	refuse(strict.BadHost, "two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: m\r\nHost: n\r\n\r\n")
	refuse(strict.BadHost, "a Host of two words", "GET / HTTP/1.1\r\nHost: m n\r\n\r\n")
	refuse(strict.BadHost, "a Host with a path", "GET / HTTP/1.1\r\nHost: m/n\r\n\r\n")
	refuse(strict.BadHost, "a Host with a user", "GET / HTTP/1.1\r\nHost: a@m\r\n\r\n")
	refuse(strict.BadHost, "a target of another host", "GET http://n/ HTTP/1.1\r\nHost: m\r\n\r\n")
	refuse(strict.BadHost, "a target of a longer host", "GET http://m.n/ HTTP/1.1\r\nHost: m\r\n\r\n")
	refuse(strict.BadHost, "a target of a shorter host", "GET http://m/ HTTP/1.1\r\nHost: m.n\r\n\r\n")
	refuse(strict.BadHost, "a target of another port", "GET http://m:81/ HTTP/1.1\r\nHost: m:80\r\n\r\n")
	refuse(strict.BadHost, "a target with a host and an empty Host", "GET http://m/ HTTP/1.1\r\nHost:\r\n\r\n")
	refuse(strict.BadHost, "a target with a host and a blank Host", "GET http://m/ HTTP/1.1\r\nHost: \r\n\r\n")
	refuse(strict.BadField, "a Host as CGI would spell it: not the same", "GET / HTTP/1.1\r\nHo_st : m\r\n\r\n")
	refuse(strict.BadTarget, "a target without a host", "GET http:///p HTTP/1.1\r\nHost: m\r\n\r\n")
	refuse(strict.BadTarget, "a target with an endless host", "GET http://"+long+"/ HTTP/1.1\r\nHost: "+long+"\r\n\r\n")
	refuse(strict.BadTarget, "a target with a user", "GET http://a@m/ HTTP/1.1\r\nHost: m\r\n\r\n")
	refuse(strict.BadTarget, "a target of another scheme", "GET ftp://m/ HTTP/1.1\r\nHost: m\r\n\r\n")
	refuse(strict.BadTarget, "a target that is no path", "GET p HTTP/1.1\r\nHost: m\r\n\r\n")
	refuse(strict.BadTarget, "a target with a fragment", "GET /p#q HTTP/1.1\r\nHost: m\r\n\r\n")
	refuse(strict.BadTarget, "a star for GET", "GET * HTTP/1.1\r\nHost: m\r\n\r\n")
	refuse(strict.BadTarget, "a star for a method that ends alike", "XOPTIONS * HTTP/1.1\r\nHost: m\r\n\r\n")
	refuse(strict.BadTarget, "a scheme that ends alike", "GET xhttp://m/ HTTP/1.1\r\nHost: m\r\n\r\n")
	refuse(strict.BadTarget, "a star and more", "OPTIONS *a HTTP/1.1\r\nHost: m\r\n\r\n")
	refuse(strict.BadTarget, "a null in the target", "GET /\x00 HTTP/1.1\r\nHost: m\r\n\r\n")
	refuse(strict.BadTarget, "a CR in the target", "GET /\rp HTTP/1.1\r\nHost: m\r\n\r\n")
	refuse(strict.BadTarget, "a line that ends after the target", "GET /p\r\nHost: m\r\n\r\n")
	serve("a target of the same host", "GET http://M:80/p HTTP/1.1\r\nHost: m:80\r\n\r\n", "GET /p ")
	serve("no Host in HTTP/1.0", "GET /p HTTP/1.0\r\n\r\n", "GET /p ")
	serve("a target with two slashes", "GET //n/p HTTP/1.1\r\nHost: m\r\n\r\n", "GET //n/p ")
}

// chunks are of bodies that break off, or do not.
func chunks(broken func(name, raw string), serve service) {
	body := func(name, chunks string) { broken(name, post+"Transfer-Encoding: chunked\r\n\r\n"+chunks) }
	body("no size", "\r\nhello\r\n0\r\n\r\n")
	body("a size that is no number", "x\r\nhello\r\n0\r\n\r\n")
	body("a size with a prefix", "0x5\r\nhello\r\n0\r\n\r\n")
	body("a negative size", "-5\r\nhello\r\n0\r\n\r\n")
	body("a size with a sign", "+5\r\nhello\r\n0\r\n\r\n")
	body("a blank before the size", " 5\r\nhello\r\n0\r\n\r\n")
	body("a blank after the size", "5 \r\nhello\r\n0\r\n\r\n")
	body("a blank before an extension", "5 ;a=b\r\nhello\r\n0\r\n\r\n")
	body("a size beyond 64 bits", "10000000000000005\r\nhello\r\n0\r\n\r\n")
	body("a size of too many zeros", strings.Repeat("0", 20)+"5\r\nhello\r\n0\r\n\r\n")
	body("a size beyond any body", "7fffffffffffffff\r\nhello\r\n0\r\n\r\n")
	body("a bare LF after the size", "5\nhello\r\n0\r\n\r\n")
	body("a bare CR after the size", "5\rhello\r\n0\r\n\r\n")
	body("a bare LF in an extension", "5;a\nhello\r\n0\r\n\r\n")
	body("a null in an extension", "5;a\x00\r\nhello\r\n0\r\n\r\n")
	body("an endless extension", "5;"+strings.Repeat("a", 5000)+"\r\nhello\r\n0\r\n\r\n")
	body("a chunk longer than its size", "3\r\nhello\r\n0\r\n\r\n")
	body("a bare LF after the chunk", "5\r\nhello\n0\r\n\r\n")
	body("a second chunk that is none", "5\r\nhello\r\nx\r\n\r\n"+inner)
	body("more extensions than body", strings.Repeat("1;"+strings.Repeat("a", 200)+"\r\nx\r\n", 100)+"0\r\n\r\n")
	serve("chunks with extensions", post+"Transfer-Encoding: chunked\r\n\r\n005;a=b\r\nhello\r\n1; c=\"d\"\r\n!\r\n00\r\n\r\n", "POST /p hello!")
	serve("chunked in capitals", post+"Transfer-Encoding: \t CHUNKED \r\n\r\n5\r\nhello\r\n0\r\nX-T: a\r\n\r\n", "POST /p hello")
}

// harmless is what must go on being served.
func harmless(serve service) {
	serve("a plain request", get, "GET / ")
	serve("an empty line before", "\r\n"+get, "GET / ")
	serve("an empty line after a body", post+"Content-Length: 5\r\n\r\nhello\r\n"+get, "POST /p hello", "GET / ")
	serve("text beyond ASCII", "GET /\xc3\xa9 HTTP/1.1\r\nHost: m\r\nX: \xc3\xa9\t.\r\n\r\n", "GET /%C3%A9 ")
	serve("blanks around a length", post+"Content-Length: \t5 \t\r\n\r\nhello", "POST /p hello")
	serve("a length with zeros before it", post+"Content-Length: 0005\r\n\r\nhello", "POST /p hello")
	serve("a body of GET", "GET /p HTTP/1.1\r\n"+host+"Content-Length: 5\r\n\r\nhello", "GET /p hello")
	serve("names that look like others", post+"Content-Lengthy: 7\r\nTransfer: x\r\nHosts: a\r\nContent-Length: 5\r\n\r\nhello", "POST /p hello")
	serve("an IPv6 host", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET / ")
	serve("a body that looks like a request", post+"Content-Length: 36\r\n\r\n"+"GET /x HTTP/1.1\r\nTransfer-Encoding: \n"[:36], "POST /p "+"GET /x HTTP/1.1\r\nTransfer-Encoding: \n"[:36])
	serve("an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / ")
}

// sequences are several requests on one connection.
func sequences(all *[]Case) {
	add := func(name string, reason strict.Reason, entered bool, raw string, goes ...string) {
		*all = append(*all, Case{Name: name, Raw: raw, Reason: reason, Goes: goes, Entered: entered})
	}
	chunked := post + "Transfer-Encoding: chunked\r\n\r\n"
	add("three requests", "", false, get+post+"Content-Length: 5\r\n\r\nhello"+chunked+"5\r\nhello\r\n0\r\n\r\n", "GET / ", "POST /p hello", "POST /p hello")
	add("a wrong request after two", strict.BadLength, false,
		get+post+"Content-Length: 5\r\n\r\nhello"+chunked[:len(chunked)-2]+"Content-Length: 5\r\n\r\n"+inner, "GET / ", "POST /p hello")
	add("garbage after a request", strict.BadLine, false, get+"\x00\x01\x02"+inner, "GET / ")
	add("garbage after a body", strict.BadLine, false, post+"Content-Length: 5\r\n\r\nhello{}"+inner, "POST /p hello")
	add("a wrong body after a request", strict.BadChunk, true, get+chunked+"5\r\nhelloX"+inner, "GET / ")
	add("a wrong trailer after a body", strict.BadField, true, chunked+"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n"+inner)
	add("a trailer with a bare LF", strict.BadEnd, true, chunked+"5\r\nhello\r\n0\r\nX: a\n\r\n"+inner)
	add("a folded trailer", strict.BadEnd, true, chunked+"5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n"+inner)
	add("a trailer without a colon", strict.BadField, true, chunked+"5\r\nhello\r\n0\r\nX\r\n\r\n"+inner)
	add("an endless trailer", strict.BadField, true, chunked+"5\r\nhello\r\n0\r\nX: "+strings.Repeat("a", 5000)+"\r\n\r\n")
	add("what HTTP/2 begins with after a request", strict.BadLine, false, get+"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / ")
}
