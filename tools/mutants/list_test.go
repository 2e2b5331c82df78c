package main

import (
	"strings"
	"testing"
)

func testCheckout(t *testing.T) *checkout {
	t.Helper()
	c, err := openCheckout("../..")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The list fits the source as it is, breaks enough, and in many places.
func TestListIsFresh(t *testing.T) {
	ms, err := testCheckout(t).parse(list)
	if err != nil {
		t.Fatal(err)
	}
	sections, files := map[byte]int{}, map[string]int{}
	for _, m := range ms {
		sections[m.statement[0]]++
		files[m.file]++
	}
	if len(ms) < 40 {
		t.Errorf("%d mutants", len(ms))
	}
	for _, s := range []byte("0ABCDEL") {
		if sections[s] == 0 {
			t.Errorf("no statement of section %c is broken", s)
		}
	}
	if len(files) < 15 {
		t.Errorf("only %d files are changed: %v", len(files), files)
	}
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	const head = "A14 name rules/match.go\n"
	for in, want := range map[string]string{
		head + "- no such source\n+ x\n":                            "0 times, not once",
		head + "- return\n+ x\n":                                    "times, not once",
		head + "- func (l *List) Match(\n+ func (l *List) Match(\n": "changes nothing",
		head:                                  "changes nothing",
		"A99 name rules/match.go\n- a\n+ b\n": "has no statement A99",
		"A14 name rules/none.go\n- a\n+ b\n":  "no such file",
		"A14 name\n- a\n+ b\n":                "expected \"statement name file\"",
		"# remark\n\n- a\n+ b\n":              "paragraph 2: \"\": changes nothing, or has no head",
		strings.Repeat(head+"- func (l *List) Match(\n+ func M(\n\n", 2): "the name is taken",
	} {
		if _, err := testCheckout(t).parse([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: want an error with %q, got %v", in, want, err)
		}
	}
}

func TestApplyChangesOnePlace(t *testing.T) {
	m, err := parseOne("A14 name f.go\n# why\n- \tif a < b {\n- \t\tc\n+ \tif a <= b {\n+ \t\tc\n")
	if err != nil {
		t.Fatal(err)
	}
	got := string(m.apply([]byte("x\n\tif a < b {\n\t\tc\n\t}\n")))
	if want := "x\n\tif a <= b {\n\t\tc\n\t}\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if want := "- \tif a < b {\n- \t\tc\n+ \tif a <= b {\n+ \t\tc\n"; m.diff() != want {
		t.Errorf("got %q, want %q", m.diff(), want)
	}
}
