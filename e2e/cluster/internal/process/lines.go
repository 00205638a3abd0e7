package process

import "strings"

// wholeLines drops the first line of a text that was cut somewhere in it.
func wholeLines(text string, cut bool) string {
	if cut {
		if _, rest, ok := strings.Cut(text, "\n"); ok {
			text = rest
		}
	}
	return strings.TrimRight(text, "\n")
}
