package iproute

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/fibula-net/fibula/fib"
)

// DesiredOptions say what a desired state may have in it. Zero values allow anything.
type DesiredOptions struct {
	File     string // its name, for messages
	Names    *Names
	Protocol fib.Protocol           // whose "proto" may be given, and nobody else's
	Table    func(fib.TableID) bool // may have routes
	Priority func(uint32) bool      // may have rules
	Nexthop  func(uint32) bool      // may be the id of a nexthop object
}

// FileError says where in a file something is wrong.
type FileError struct {
	File      string
	Line, Col int // from 1
	Err       error
}

func (e *FileError) Error() string { return fmt.Sprintf("%s:%d:%d: %v", e.File, e.Line, e.Col, e.Err) }

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.Err }

// ParseDesired reads the routes, rules and nexthop objects that somebody wants to have,
// as lines for "ip -batch" or as YAML with the same words; the first word that is no
// command tells which. All of it is read or nothing.
//
// Of a batch, "route", "rule" and "nexthop" lines that add something are taken (add,
// replace, append, prepend, change); a line may begin with ip, -4 or -6. In YAML the
// lists routes, rules and nexthops have mappings whose keys are ip's words, or lines of
// words.
//
// The state's links are the names that occur, with indexes of their own. Errors are
// *[FileError], joined, up to ten of them.
func ParseDesired(data []byte, opt DesiredOptions) (*fib.State, error) {
	d := &desiredReader{opt: opt, names: opt.Names.get(), links: map[string]int32{}}
	if looksLikeYAML(data) {
		d.yaml(data)
	} else {
		d.batch(data)
	}
	if len(d.errs) > 0 {
		return nil, errors.Join(d.errs...)
	}
	return &d.st, nil
}

const maxDesiredErrors = 10

type desiredReader struct {
	opt   DesiredOptions
	names *Names
	st    fib.State
	links map[string]int32
	seen  map[string]wordAt // what was given where
	errs  []error
}

// wordAt is one word with its place.
type wordAt struct {
	text      string
	line, col int
}

func (d *desiredReader) fail(at wordAt, err error) {
	if len(d.errs) < maxDesiredErrors {
		d.errs = append(d.errs, &FileError{d.opt.File, max(at.line, 1), max(at.col, 1), err})
	}
}

// looksLikeYAML: a batch begins with a command.
func looksLikeYAML(data []byte) bool {
	for line := range bytes.Lines(data) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		first, _, _ := strings.Cut(string(line), " ")
		first = strings.TrimSpace(first)
		return strings.HasPrefix(first, "---") || strings.HasPrefix(first, "{") || strings.HasSuffix(first, ":") || strings.HasPrefix(first, "%YAML")
	}
	return false
}

// batch reads lines of "ip -batch".
func (d *desiredReader) batch(data []byte) {
	number := 0
	var words []wordAt
	more := false
	for line := range strings.Lines(string(data)) {
		number++
		body, goesOn := Continues(line)
		if !more {
			words = words[:0]
		}
		var err error
		if words, err = placed(words, body, number); err != nil {
			d.fail(wordAt{line: number, col: 1}, err)
			words, more = words[:0], false
			continue
		}
		if more = goesOn; !more && len(words) > 0 {
			d.command(words)
		}
	}
	if more && len(words) > 0 {
		d.command(words)
	}
}

// placed appends the words of a line with their places.
func placed(to []wordAt, line string, number int) ([]wordAt, error) {
	texts, err := splitLine(nil, line)
	if err != nil {
		return to, err
	}
	at := 0
	for _, t := range texts {
		i := strings.Index(line[at:], t)
		to = append(to, wordAt{t, number, at + i + 1})
		at += i + len(t)
	}
	return to, nil
}

// command reads one line of a batch.
func (d *desiredReader) command(words []wordAt) {
	p := &wordReader{d: d, words: words, last: words[len(words)-1]}
	if p.is("ip") {
		p.next("")
	}
	var fam fib.Family
	for len(p.words) > 0 {
		switch p.words[0].text {
		case "-4":
			fam = fib.Inet
		case "-6":
			fam = fib.Inet6
		default:
			goto object
		}
		p.next("")
	}
object:
	object := p.next("route, rule or nexthop")
	verb := p.next("add or replace")
	if p.err == nil && !addingVerbs[verb.text] {
		p.fail(verb, expected(ExitUsage, verb.text, `"`+clip(verb.text)+`" is no way to say what should be there: use add, replace or append`))
	}
	if p.err == nil {
		switch {
		case abbreviates(object.text, "route", 1) && object.text != "rule" && !strings.HasPrefix("rule", object.text) || object.text == "route":
			p.route(fam, verb)
		case abbreviates(object.text, "rule", 2):
			p.rule(fam)
		case abbreviates(object.text, "nexthop", 3):
			p.nexthop(fam)
		default:
			p.fail(object, expected(ExitUsage, object.text, `"`+clip(object.text)+`" cannot be in a desired state, which has routes, rules and nexthops`))
		}
	}
	if p.err != nil {
		d.fail(p.at, p.err)
	}
}

var addingVerbs = map[string]bool{"add": true, "replace": true, "append": true, "prepend": true, "change": true, "a": true}

func abbreviates(s, word string, least int) bool {
	return len(s) >= least && strings.HasPrefix(word, s)
}

// link is the index of a name in this state.
func (d *desiredReader) link(name string) int32 {
	if i, ok := d.links[name]; ok {
		return i
	}
	i := int32(len(d.links) + 1)
	d.links[name] = i
	d.st.Links = append(d.st.Links, fib.Link{Index: i, Name: name})
	return i
}

// once refuses what was given before.
func (d *desiredReader) once(p *wordReader, at wordAt, what string) {
	if d.seen == nil {
		d.seen = map[string]wordAt{}
	}
	if before, ok := d.seen[what]; ok {
		p.fail(at, fmt.Errorf("%s is given twice, first in line %d", what, before.line))
		return
	}
	d.seen[what] = at
}

// wordReader goes over the words of one object; the first error stays.
type wordReader struct {
	d     *desiredReader
	words []wordAt
	last  wordAt // to blame for what is missing
	at    wordAt
	err   error
}

func (p *wordReader) fail(at wordAt, err error) {
	if p.err == nil {
		p.at, p.err = at, err
	}
}

func (p *wordReader) is(text string) bool { return len(p.words) > 0 && p.words[0].text == text }

// next takes a word; of what is the word whose value is missing if there is none.
func (p *wordReader) next(of string) wordAt {
	if len(p.words) == 0 {
		p.fail(p.last, expected(ExitUsage, p.last.text, `the line is not complete: expected `+of))
		return wordAt{}
	}
	w := p.words[0]
	p.words = p.words[1:]
	return w
}

func (p *wordReader) value(key string) wordAt { return p.next(`a value after "` + key + `"`) }

func (p *wordReader) number(key string, bits int) uint32 {
	w := p.value(key)
	v, ok := parseUint(w.text, 0, bits)
	if !ok {
		p.fail(w, badValue(key, w.text, fmt.Sprintf("a number from 0 to %d", uint64(1)<<bits-1)))
	}
	return uint32(v)
}

// named is a number with a name.
func named[T any](p *wordReader, key string, read func(string) (T, error)) (v T) {
	w := p.value(key)
	if p.err != nil {
		return v
	}
	v, err := read(w.text)
	if err != nil {
		p.fail(w, err)
	}
	return v
}

// onOff reports an attribute's own "lock".
func (p *wordReader) lock() bool {
	if p.is("lock") {
		p.next("")
		return true
	}
	return false
}

func (p *wordReader) protocol() fib.Protocol {
	at := wordAt{}
	if len(p.words) > 0 {
		at = p.words[0]
	}
	v := fib.Protocol(named(p, "proto", p.d.names.Protocol))
	if o := p.d.opt.Protocol; p.err == nil && o != 0 && v != o {
		p.fail(at, fmt.Errorf("protocol %s is not the one whose objects are ours, %s", p.d.names.ProtocolName(uint8(v)), p.d.names.ProtocolName(uint8(o))))
	}
	return v
}

// unknown refuses a word that means nothing here.
func (p *wordReader) unknown(w wordAt, what string) {
	p.fail(w, expected(ExitUsage, w.text, `"`+clip(w.text)+`" is no word of a `+what))
}
