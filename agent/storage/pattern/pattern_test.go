package pattern

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestMatchFollowsShellPatterns(t *testing.T) {
	for name, c := range map[string]struct {
		pattern, name string
		want          bool
	}{
		"a star matches the empty run":           {"model*", "model", true},
		"a star crosses folders":                 {"*.bin", "a/b/c.bin", true},
		"a star does not match another suffix":   {"*.bin", "a/b/c.bin.txt", false},
		"several stars retry only the last":      {"*a*b", "xxaxxbxxb", true},
		"a question mark is one character":       {"v?", "v1", true},
		"a question mark is not none":            {"v?", "v", false},
		"a question mark is one rune":            {"v?", "vé", true},
		"a class has ranges":                     {"part-[0-9].pt", "part-7.pt", true},
		"a class refuses others":                 {"part-[0-9].pt", "part-x.pt", false},
		"a negated class":                        {"[!.]*", ".hidden", false},
		"a bracket first in a class is a member": {"[]]", "]", true},
		"an unclosed class stands for itself":    {"a[b", "a[b", true},
		"a folder means everything below":        {"onnx/", "onnx/model.onnx", true},
		"a folder does not mean a namesake":      {"onnx/", "onnx-old/model.onnx", false},
		"the empty pattern matches only nothing": {"", "a", false},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, Match(c.pattern, c.name))
		})
	}
}

func TestIgnoreWinsOverAllow(t *testing.T) {
	s := Set{Allow: []string{"*.json", "*.bin"}, Ignore: []string{"old/*"}}
	require.True(t, s.Keep("config.json"))
	require.False(t, s.Keep("old/config.json"))
	require.False(t, s.Keep("model.safetensors"))
	require.True(t, Set{}.Keep("anything"))
}

func TestParseListReadsJSONAndCommas(t *testing.T) {
	for name, c := range map[string]struct {
		value string
		want  []string
	}{
		"a JSON list":                    {`["tokenizer.json", "*.txt"]`, []string{"tokenizer.json", "*.txt"}},
		"commas":                         {"*.bin, *.gguf", []string{"*.bin", "*.gguf"}},
		"a class is not JSON":            {"[ab]*.bin", []string{"[ab]*.bin"}},
		"nothing":                        {"  ", nil},
		"an empty JSON list":             {"[]", nil},
		"empty elements between commas":  {"*.bin,,", []string{"*.bin"}},
		"one pattern, with white spaces": {" *.bin ", []string{"*.bin"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseList(c.value)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
	_, err := ParseList(`["a", 1]`)
	require.ErrorContains(t, err, "JSON list of patterns")
}

// FuzzMatchAgreesWithRegexp compares Match with a regular expression made from the
// same pattern, which is slow but obviously right.
func FuzzMatchAgreesWithRegexp(f *testing.F) {
	f.Add("*.bin", "a/b.bin")
	f.Add("[!a-c]?*", "dxyz")
	f.Add("[]", "[]")
	f.Add("**a*[", "aaa[")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(name) || len(pattern) > 64 || len(name) > 256 {
			t.Skip()
		}
		got := Match(pattern, name)
		// Ranges whose ends are swapped match nothing here and are an error there.
		re, err := regexp.Compile(toRegexp(pattern))
		if err != nil {
			t.Skip()
		}
		require.Equal(t, re.MatchString(name), got, "pattern %q name %q", pattern, name)
	})
}

func toRegexp(pattern string) string {
	if strings.HasSuffix(pattern, "/") {
		pattern += "*"
	}
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i := 0; i < len(pattern); {
		switch {
		case pattern[i] == '*':
			b.WriteString(".*")
			i++
		case pattern[i] == '?':
			b.WriteString(".")
			i++
		case pattern[i] == '[' && classEnd(pattern, i) > 0:
			end := classEnd(pattern, i)
			b.WriteString(classRegexp(pattern[i+1 : end]))
			i = end + 1
		default:
			_, width := utf8.DecodeRuneInString(pattern[i:])
			b.WriteString(regexp.QuoteMeta(pattern[i : i+width]))
			i += width
		}
	}
	return b.String() + `\z`
}

func classRegexp(class string) string {
	var b strings.Builder
	b.WriteByte('[')
	if strings.HasPrefix(class, "!") {
		b.WriteByte('^')
		class = class[1:]
	}
	members := []rune(class)
	quote := func(r rune) string { return `\x{` + hex(r) + `}` }
	for i := 0; i < len(members); i++ {
		if i+2 < len(members) && members[i+1] == '-' {
			b.WriteString(quote(members[i]) + "-" + quote(members[i+2]))
			i += 2
			continue
		}
		b.WriteString(quote(members[i]))
	}
	return b.String() + "]"
}

func hex(r rune) string {
	const digits = "0123456789abcdef"
	s := ""
	for r > 0 || s == "" {
		s = string(digits[r%16]) + s
		r /= 16
	}
	return s
}
