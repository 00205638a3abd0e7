package activator

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestATraceparentIsReadAsTheStandardSays(t *testing.T) {
	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for name, c := range map[string]struct {
		lines       []string
		ok, sampled bool
	}{
		"sampled":                          {[]string{"00-" + trace + "-" + span + "-01"}, true, true},
		"not sampled":                      {[]string{"00-" + trace + "-" + span + "-00"}, true, false},
		"further flags":                    {[]string{"00-" + trace + "-" + span + "-ff"}, true, true},
		"a later version with more fields": {[]string{"cc-" + trace + "-" + span + "-01-what"}, true, true},
		"a later version that runs on":     {[]string{"cc-" + trace + "-" + span + "-01.what"}, false, false},
		"this version with more fields":    {[]string{"00-" + trace + "-" + span + "-01-what"}, false, false},
		"the version that is none":         {[]string{"ff-" + trace + "-" + span + "-01"}, false, false},
		"no trace":                         {[]string{"00-" + strings.Repeat("0", 32) + "-" + span + "-01"}, false, false},
		"no span":                          {[]string{"00-" + trace + "-" + strings.Repeat("0", 16) + "-01"}, false, false},
		"upper case":                       {[]string{"00-" + strings.ToUpper(trace) + "-" + span + "-01"}, false, false},
		"not hexadecimal":                  {[]string{"00-" + trace[1:] + "g-" + span + "-01"}, false, false},
		"too short":                        {[]string{"00-" + trace + "-" + span + "-0"}, false, false},
		"twice":                            {[]string{"00-" + trace + "-" + span + "-01", "00-" + trace + "-" + span + "-01"}, false, false},
		"none":                             {nil, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, ok := ParseTraceparent(c.lines)
			require.Equal(t, c.ok, ok)
			require.Equal(t, c.sampled, p.Sampled())
			if ok {
				require.Equal(t, trace, fmt.Sprintf("%x", p.Trace))
				require.Equal(t, span, fmt.Sprintf("%x", p.Span))
			}
		})
	}
}

// FuzzParseTraceparent: what is read is what is written, byte for byte.
func FuzzParseTraceparent(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Add("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		p, ok := ParseTraceparent([]string{s})
		if !ok {
			require.Equal(t, Parent{}, p)
			return
		}
		require.Equal(t, s[2:55], fmt.Sprintf("-%x-%x-%02x", p.Trace, p.Span, p.Flags))
		require.NotZero(t, p.Trace)
		require.NotZero(t, p.Span)
	})
}
