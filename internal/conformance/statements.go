package conformance

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/fibula-net/fibula/docs"
)

// Statement is one numbered statement of the reference.
type Statement struct {
	Number  string // "0.1", "A12", "D4a"; K and a step, I and a row
	Section string // heading of its section, as "B. IPv4 tables"
	Text    string // the whole text on one line

	cites []string // patterns of case names in {braces}
}

// Statements are those of docs/kernel-semantics.md, in its order. The slice is
// shared: do not change it.
var Statements = sync.OnceValue(func() []Statement { return parse(docs.KernelSemantics) })

var (
	// A statement begins a line with its number; the steps of section K have only
	// a number, the rows of section I are rows of its table.
	beginning = regexp.MustCompile(`^(0\.\d+|[A-L]\d+[a-z]?) (.*)`)
	step      = regexp.MustCompile(`^ ?(\d+)\. (.*)`)
	tableRow  = regexp.MustCompile(`^\| (I\d+) (.*)`)
	// Section J numbers inside its lines.
	inside   = regexp.MustCompile(`\bJ\d+ `)
	citation = regexp.MustCompile(`\{([a-z0-9.*-]+)\}`)
)

func parse(text string) (out []Statement) {
	var section string
	var general []string // cited by the heading above: by all below it
	open := false
	start := func(number, text string) {
		out = append(out, Statement{Number: number, Section: section, Text: text, cites: slices.Clone(general)})
		open = true
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch m := beginning.FindStringSubmatch(line); {
		case strings.HasPrefix(line, "#"):
			if s, ok := strings.CutPrefix(line, "## "); ok {
				section = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(s), "[S]"))
			}
			general, open = patterns(line), false
		case strings.HasPrefix(line, "-----"):
			open = false
		case m != nil && m[1][0] == 'J', strings.HasPrefix(section, "J.") && inside.MatchString(line):
			at := inside.FindAllStringIndex(line, -1)
			if open {
				out[len(out)-1].Text += " " + line[:at[0][0]]
			}
			for i, a := range at {
				end := len(line)
				if i+1 < len(at) {
					end = at[i+1][0]
				}
				start(line[a[0]:a[1]-1], strings.TrimSpace(line[a[1]:end]))
			}
		case m != nil:
			start(m[1], m[2])
		case strings.HasPrefix(section, "K.") && step.MatchString(line):
			m := step.FindStringSubmatch(line)
			start("K"+m[1], m[2])
		case tableRow.MatchString(line):
			m := tableRow.FindStringSubmatch(line)
			start(m[1], m[2])
		case open:
			out[len(out)-1].Text += " " + strings.TrimSpace(line)
		}
	}
	for i := range out {
		s := &out[i]
		s.Text = strings.TrimSpace(s.Text)
		s.cites = append(s.cites, patterns(s.Text)...)
	}
	return out
}

// patterns are the case names in {braces}; "x-a..c" stands for x-a, x-b and x-c.
func patterns(text string) (out []string) {
	for _, m := range citation.FindAllStringSubmatch(text, -1) {
		from, to, ok := strings.Cut(m[1], "..")
		if !ok {
			out = append(out, m[1])
			continue
		}
		stem := from[:len(from)-1]
		for c := from[len(from)-1]; c <= to[0]; c++ {
			out = append(out, stem+string(c))
		}
	}
	return out
}

// CitedBy returns the numbers of the statements that cite an acceptance case, by
// its name or a pattern with *.
func CitedBy(name string) (numbers []string) {
	for _, s := range Statements() {
		if slices.ContainsFunc(s.cites, func(p string) bool { ok, _ := path.Match(p, name); return ok }) {
			numbers = append(numbers, s.Number)
		}
	}
	return numbers
}

// NumbersIn returns the numbers of statements that stand as words in the name of
// a test, as in "D13 metric" or "falls through to main (L7, L18)".
func NumbersIn(name string) (numbers []string) {
	for _, w := range strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune(" ,:;()", r) }) {
		if known(w) {
			numbers = append(numbers, w)
		}
	}
	return numbers
}

func known(number string) bool {
	return slices.ContainsFunc(Statements(), func(s Statement) bool { return s.Number == number })
}

var (
	markup = strings.NewReplacer("*", "", "`", "", "|", "/")
	mark   = regexp.MustCompile(`\[[VS][^\]]*\] ?:? ?`)
)

// Summary is how the statement begins: its first clause where that says enough, else
// as many words as fit.
func (s *Statement) Summary() string {
	const enough, room = 24, 72
	text, _, _ := strings.Cut(s.Text, " | ") // a row's first cell
	text = mark.ReplaceAllString(citation.ReplaceAllString(text, ""), "")
	text = strings.Join(strings.Fields(markup.Replace(text)), " ")
	for _, end := range []string{". ", ": ", "; "} {
		if i := strings.Index(text, end); i >= enough && i <= room && !strings.HasSuffix(text[:i], "i.e") {
			return text[:i]
		}
	}
	if len(text) <= room {
		return strings.TrimRight(text, ".:")
	}
	return strings.TrimRight(text[:strings.LastIndexByte(text[:room], ' ')], " ,;:(") + " …"
}
