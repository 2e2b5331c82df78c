package iproute

import (
	"strings"
)

// SplitLine cuts one line of a batch file into words as "ip -batch" does: words
// are apart by blanks, a word that begins with a quote ends at the next one of
// its kind, # begins a comment (even inside quotes, as in ip). The words are
// appended to words and share the line's memory; an empty line has none.
//
// A leading "ip route get", "route get" or a short form of it is dropped, so
// that files written for ip work.
func SplitLine(words []string, line string) ([]string, error) {
	first := len(words)
	words, err := splitLine(words, line)
	return append(words[:first], dropCommand(words[first:])...), err
}

// splitLine is SplitLine that drops nothing.
func splitLine(words []string, line string) ([]string, error) {
	if i := strings.IndexByte(line, '#'); i >= 0 {
		line = line[:i]
	}
	first := len(words)
	for {
		line = strings.TrimLeft(line, blanks)
		if line == "" {
			break
		}
		if q := line[0]; q == '"' || q == '\'' {
			end := strings.IndexByte(line[1:], q)
			if end < 0 {
				line = strings.TrimRight(line, blanks)
				return words[:first], expected(ExitInput, line, "the quote in `"+clip(line)+"` is not closed")
			}
			words = append(words, line[1:1+end])
			line = line[2+end:]
			continue
		}
		end := strings.IndexAny(line, blanks)
		if end < 0 {
			end = len(line)
		}
		words = append(words, line[:end])
		line = line[end:]
	}
	return words, nil
}

const blanks = " \t\r\n"

// Continues reports whether the line goes on in the next one, that is ends with
// a backslash before the line feed, and returns it without. A comment does not.
func Continues(line string) (string, bool) {
	body := strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	if cut, ok := strings.CutSuffix(body, `\`); ok && !strings.Contains(cut, "#") {
		return cut, true
	}
	return line, false
}

// dropCommand removes "[ip] route get" in front of a query. No query begins like
// that: "r" and "route" are neither keywords nor addresses.
func dropCommand(words []string) []string {
	w := words
	if len(w) > 0 && w[0] == "ip" {
		w = w[1:]
	}
	if len(w) >= 2 && w[0] != "" && strings.HasPrefix("route", w[0]) && w[1] != "" && strings.HasPrefix("get", w[1]) {
		return w[2:]
	}
	return words
}

// QuoteWord writes s so that SplitLine reads it as one word. A word with a # or
// with both kinds of quotes cannot be written; it comes back as it is.
func QuoteWord(s string) string {
	switch {
	case s != "" && s[0] != '"' && s[0] != '\'' && !strings.ContainsAny(s, blanks):
		return s
	case !strings.Contains(s, `"`):
		return `"` + s + `"`
	default:
		return `'` + s + `'`
	}
}
