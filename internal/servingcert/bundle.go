package servingcert

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Keys of the Secret's data. The current pair has the names that other tools expect.
const (
	keyCA       = "ca.crt"
	keyCert     = "tls.crt"
	keyKey      = "tls.key"
	keyNextCert = "next.crt"
	keyNextKey  = "next.key"
)

// maxCAs bounds the CAs that are kept. Two are needed; more appear only when
// somebody keeps spoiling the Secret.
const maxCAs = 8

// pair is a certificate with its key, in PEM, and the parsed certificate.
type pair struct {
	cert, key []byte
	leaf      *x509.Certificate
}

// bundle is what the Secret holds: the pair that is served, while a rotation
// is under way the pair that comes next, and the CAs of both and of those that
// were served before.
type bundle struct {
	cas  [][]byte // PEM, one certificate each, newest first
	cur  *pair
	next *pair
}

// parse reads a Secret's data. What is unreadable is left out and named in the
// error; the rest of the bundle is still of use.
func parse(data map[string][]byte) (bundle, error) {
	var b bundle
	var errs []error
	for rest := data[keyCA]; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", keyCA, err))
			continue
		}
		b.cas = append(b.cas, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
	}
	var err error
	if b.cur, err = parsePair(data[keyCert], data[keyKey]); err != nil {
		errs = append(errs, fmt.Errorf("%s and %s: %w", keyCert, keyKey, err))
	}
	if b.next, err = parsePair(data[keyNextCert], data[keyNextKey]); err != nil {
		errs = append(errs, fmt.Errorf("%s and %s: %w", keyNextCert, keyNextKey, err))
	}
	return b, errors.Join(errs...)
}

func parsePair(cert, key []byte) (*pair, error) {
	if len(cert) == 0 && len(key) == 0 {
		return nil, nil
	}
	both, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return &pair{cert: cert, key: key, leaf: both.Leaf}, nil
}

// data is the reverse of parse. CAs that have expired are left out.
func (b bundle) data(now time.Time) map[string][]byte {
	d := map[string][]byte{keyCA: b.caBundle(now)}
	if b.cur != nil {
		d[keyCert], d[keyKey] = b.cur.cert, b.cur.key
	}
	if b.next != nil {
		d[keyNextCert], d[keyNextKey] = b.next.cert, b.next.key
	}
	return d
}

// caBundle is what clients are to trust: every CA that has not expired.
func (b bundle) caBundle(now time.Time) []byte {
	var live [][]byte
	for _, ca := range b.cas {
		block, _ := pem.Decode(ca)
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && now.Before(c.NotAfter) {
			live = append(live, ca)
		}
	}
	return bytes.Join(live, nil)
}

// trusts says whether a pair's certificate is signed by a CA of the bundle.
func (b bundle) trusts(p *pair, now time.Time) bool {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(b.caBundle(now))
	_, err := p.leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now})
	return err == nil
}

// action is what to do with a bundle.
type action string

const (
	keep    action = "Keep"    // nothing
	stage   action = "Stage"   // make the next pair and let its CA become known
	promote action = "Promote" // serve the next pair
	replace action = "Replace" // serve a new pair at once
)

// decision is an action, why, and when to look again.
type decision struct {
	action action
	why    string
	again  time.Time
}

// policy is the times by which certificates change.
type policy struct {
	names    []string
	validity time.Duration // of a new pair
	renew    time.Duration // before the end of the current one the next is made
	overlap  time.Duration // time for the CA of the next one to become known everywhere
}

// decide says what a bundle needs at a time. A pair that works is never taken
// away before everybody has had the overlap to learn the CA of the next one.
//
// With validity 90 days, renewal 30 days before the end and an overlap of 1 h:
// the next pair is made on day 60, served from an hour later, and the CA of the
// old one is dropped on day 90.
func (p policy) decide(b bundle, now time.Time) decision {
	switch why := p.unusable(b, b.cur, now); {
	case why == "":
	case b.next != nil && p.unusable(b, b.next, now) == "":
		return decision{promote, "the certificate served " + why, now}
	default:
		return decision{replace, "the certificate served " + why, now}
	}
	renewAt := b.cur.leaf.NotAfter.Add(-p.renew)
	if b.next == nil {
		if now.Before(renewAt) {
			return decision{keep, "", renewAt}
		}
		return decision{stage, "the certificate served ends at " + b.cur.leaf.NotAfter.UTC().Format(time.RFC3339), now}
	}
	if why := p.unusable(b, b.next, now); why != "" {
		return decision{stage, "the certificate made to follow " + why, now}
	}
	promoteAt := b.next.leaf.NotBefore.Add(backdate + p.overlap)
	if now.Before(promoteAt) {
		return decision{keep, "", promoteAt}
	}
	return decision{promote, "the CA of the certificate made to follow has been known for " + p.overlap.String(), now}
}

// unusable says why a pair cannot be served, or nothing.
func (p policy) unusable(b bundle, pr *pair, now time.Time) string {
	switch {
	case pr == nil:
		return "is missing"
	case now.Before(pr.leaf.NotBefore):
		return "is not valid before " + pr.leaf.NotBefore.UTC().Format(time.RFC3339)
	case !now.Before(pr.leaf.NotAfter):
		return "ended at " + pr.leaf.NotAfter.UTC().Format(time.RFC3339)
	case !b.trusts(pr, now):
		return "is not signed by a CA of the bundle"
	}
	for _, name := range p.names {
		if !slices.Contains(pr.leaf.DNSNames, name) {
			return "is not valid for " + name
		}
	}
	return ""
}

// apply carries out an action other than keep.
func (p policy) apply(b bundle, a action, now time.Time) (bundle, error) {
	if a == promote {
		return bundle{cas: b.cas, cur: b.next}, nil
	}
	made, ca, err := issue(p.names, now, p.validity)
	if err != nil {
		return bundle{}, err
	}
	cas := append([][]byte{ca}, b.cas...)
	n := bundle{cas: cas[:min(len(cas), maxCAs)], cur: b.cur, next: made}
	if a == replace {
		n.cur, n.next = made, nil
	}
	return n, nil
}
