package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// semantics is the description of the kernel's lookup whose statements mutants break.
const semantics = "docs/kernel-semantics.md"

// mutant is one change of one file.
type mutant struct {
	name      string
	statement string // number in docs/kernel-semantics.md
	file      string // relative to the checkout
	old, new  string
}

// checkout is the source tree under test.
type checkout struct {
	root       string
	statements map[string]bool
	files      map[string][]byte // that mutants change, as they are
}

func openCheckout(root string) (*checkout, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(root, semantics))
	if err != nil {
		return nil, err
	}
	return &checkout{root: root, statements: statementsOf(text), files: map[string][]byte{}}, nil
}

var (
	numbered = regexp.MustCompile(`(?m)^([0A-L]\.?[0-9]+[a-z]?) `)
	step     = regexp.MustCompile(`(?m)^ ?([0-9]+)\. `) // of section K
)

// statementsOf are the numbers that a description's statements have.
func statementsOf(text []byte) map[string]bool {
	out := map[string]bool{}
	for _, m := range numbered.FindAllSubmatch(text, -1) {
		out[string(m[1])] = true
	}
	for _, m := range step.FindAllSubmatch(text, -1) {
		out["K"+string(m[1])] = true
	}
	return out
}

// parse reads a list of mutants. Each is a line "statement name file", lines with
// "- " that hold the source as it is and lines with "+ " that take its place; an
// empty line ends it. Lines with "#" are remarks.
//
// The source must occur exactly once in the file, so that the list cannot rot.
func (c *checkout) parse(text []byte) ([]mutant, error) {
	var out []mutant
	names := map[string]bool{}
	for i, para := range strings.Split(string(text), "\n\n") {
		m, err := parseOne(para)
		if err == nil && m.name != "" {
			err = c.check(m)
		}
		if err == nil && m.name != "" && names[m.name] {
			err = fmt.Errorf("%s: the name is taken", m.name)
		}
		if err != nil {
			return nil, fmt.Errorf("paragraph %d: %w", i+1, err)
		}
		if names[m.name] = true; m.name != "" {
			out = append(out, m)
		}
	}
	return out, nil
}

// parseOne reads one paragraph; it has no name if there are only remarks.
func parseOne(para string) (m mutant, err error) {
	var was, is []string
	for line := range strings.Lines(para) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "- "):
			was = append(was, line[2:])
		case strings.HasPrefix(line, "+ "):
			is = append(is, line[2:])
		default:
			if f := strings.Fields(line); len(f) == 3 && m.name == "" {
				m.statement, m.name, m.file = f[0], f[1], f[2]
				continue
			}
			return m, fmt.Errorf(`%q: expected "statement name file", or a line that starts with "- ", "+ " or "#"`, line)
		}
	}
	m.old, m.new = strings.Join(was, "\n"), strings.Join(is, "\n")
	if m.name != "" && (m.old == "" || m.old == m.new) || m.name == "" && len(was)+len(is) > 0 {
		return m, fmt.Errorf("%q: changes nothing, or has no head", m.name)
	}
	return m, nil
}

// check reads the file of m and finds its place in it.
func (c *checkout) check(m mutant) error {
	if !c.statements[m.statement] {
		return fmt.Errorf("%s: %s has no statement %s", m.name, semantics, m.statement)
	}
	if c.files[m.file] == nil {
		text, err := os.ReadFile(filepath.Join(c.root, m.file))
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		c.files[m.file] = text
	}
	if n := bytes.Count(c.files[m.file], []byte(m.old)); n != 1 {
		return fmt.Errorf("%s: %s has its source %d times, not once:\n%s", m.name, m.file, n, m.old)
	}
	return nil
}

func (m mutant) apply(text []byte) []byte {
	return bytes.Replace(text, []byte(m.old), []byte(m.new), 1)
}

// diff shows the change as the list has it.
func (m mutant) diff() string {
	var b strings.Builder
	for _, part := range [...][2]string{{"- ", m.old}, {"+ ", m.new}} {
		for line := range strings.SplitSeq(part[1], "\n") {
			fmt.Fprintln(&b, part[0]+line)
		}
	}
	return b.String()
}
