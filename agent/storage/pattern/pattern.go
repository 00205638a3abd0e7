// Package pattern decides which files of a model are wanted, by the shell-like
// patterns of STORAGE_ALLOW_PATTERNS and STORAGE_IGNORE_PATTERNS. The meaning is
// the one of the Hugging Face hub, from which these variables come: "*" also
// crosses "/", and a pattern that ends in "/" means everything below it.
// Callers decide which names are subject to patterns at all.
package pattern

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Set holds the patterns of one download. The zero value keeps everything.
type Set struct {
	// Allow, where not empty, is the list of which a name must match at least one.
	Allow []string
	// Ignore lists patterns none of which a name may match. It wins over Allow.
	Ignore []string
}

// Keep reports whether the file with this slash-separated relative name is wanted.
func (s Set) Keep(name string) bool {
	if len(s.Allow) > 0 && !matchAny(s.Allow, name) {
		return false
	}
	return !matchAny(s.Ignore, name)
}

// Empty reports whether the set keeps everything.
func (s Set) Empty() bool { return len(s.Allow) == 0 && len(s.Ignore) == 0 }

// ParseList reads the value of a pattern variable: a JSON list of strings, or
// patterns separated by commas. Empty elements are dropped.
func ParseList(value string) ([]string, error) {
	value = strings.TrimSpace(value)
	var raw []string
	if strings.HasPrefix(value, "[") && looksLikeJSONList(value) {
		if err := json.Unmarshal([]byte(value), &raw); err != nil {
			return nil, fmt.Errorf(`reading a JSON list of patterns: %w; write ["*.bin","*.json"] or *.bin,*.json`, err)
		}
	} else {
		raw = strings.Split(value, ",")
	}
	var list []string
	for _, p := range raw {
		if p = strings.TrimSpace(p); p != "" {
			list = append(list, p)
		}
	}
	return list, nil
}

// looksLikeJSONList tells `["*.bin"]` from the character class in `[ab]*.bin`.
func looksLikeJSONList(value string) bool {
	rest := strings.TrimSpace(value[1:])
	return strings.HasPrefix(rest, `"`) || rest == "]"
}

func matchAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if Match(p, name) {
			return true
		}
	}
	return false
}

// Match reports whether name matches pattern: "*" any run of characters, "?" one
// character, "[abc]", "[a-z]" and "[!a-z]" one character of a class. A "[" that is
// never closed stands for itself, so every pattern has a meaning.
//
// Only the last "*" is ever retried, so the time is at most len(pattern)·len(name):
// a hostile pattern such as "*a*a*a*b" costs no more than an honest one.
func Match(pattern, name string) bool {
	if strings.HasSuffix(pattern, "/") {
		pattern += "*"
	}
	p, n := 0, 0
	star, resume := -1, 0
	for n < len(name) {
		if p < len(pattern) && pattern[p] == '*' {
			star, resume = p, n
			p++
			continue
		}
		if p < len(pattern) {
			r, width := utf8.DecodeRuneInString(name[n:])
			if next, ok := matchOne(pattern, p, r); ok {
				p, n = next, n+width
				continue
			}
		}
		if star < 0 {
			return false
		}
		_, width := utf8.DecodeRuneInString(name[resume:])
		resume += width
		p, n = star+1, resume
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchOne matches r with the element of pattern at p and returns where the next
// element starts.
func matchOne(pattern string, p int, r rune) (next int, ok bool) {
	switch pattern[p] {
	case '?':
		return p + 1, true
	case '[':
		if end := classEnd(pattern, p); end > 0 {
			return end + 1, inClass(pattern[p+1:end], r)
		}
	}
	want, width := utf8.DecodeRuneInString(pattern[p:])
	return p + width, want == r
}

// classEnd finds the "]" that closes the class opened at p; one that comes first
// in the class is a member. It returns -1 where there is none.
func classEnd(pattern string, p int) int {
	i := p + 1
	if i < len(pattern) && pattern[i] == '!' {
		i++
	}
	if i < len(pattern) && pattern[i] == ']' {
		i++
	}
	if i >= len(pattern) {
		return -1
	}
	end := strings.IndexByte(pattern[i:], ']')
	if end < 0 {
		return -1
	}
	return i + end
}

func inClass(class string, r rune) bool {
	negated := strings.HasPrefix(class, "!")
	members := []rune(strings.TrimPrefix(class, "!"))
	found := false
	for i := 0; i < len(members); i++ {
		if i+2 < len(members) && members[i+1] == '-' {
			found = found || members[i] <= r && r <= members[i+2]
			i += 2
			continue
		}
		found = found || members[i] == r
	}
	return found != negated
}
