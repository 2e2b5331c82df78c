// Testlog reads the output of "go test -json" from standard input and prints what
// a person needs: go test's closing line of each package, the whole output of
// tests that failed, every skipped test with its reason, and the sums. It exits 1
// if anything failed, or if nothing ran.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is one line of "go test -json" (go doc test2json).
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string // of build output
}

// key names a test, or a package where test is empty.
type key struct{ pkg, test string }

// summary is what testlog knows so far.
type summary struct {
	out                     io.Writer
	pending                 map[key]string // output of tests still running
	skips                   []string
	passed, failed, skipped int
	packageFailed           bool
}

func main() {
	ok, err := run(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testlog:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) (ok bool, err error) {
	s := summary{out: out, pending: map[key]string{}}
	r := bufio.NewReader(in)
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				out.Write(line) // go test itself, or a linker, speaking plainly
			} else {
				s.add(e)
			}
		}
		if err == io.EOF {
			break
		} else if err != nil {
			return false, err
		}
	}
	for _, skip := range s.skips {
		fmt.Fprintln(out, skip)
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	return s.failed == 0 && !s.packageFailed && s.passed > 0, nil
}

func (s *summary) add(e event) {
	k := key{e.Package, e.Test}
	switch {
	case e.Action == "build-output":
		fmt.Fprint(s.out, e.Output)
	case e.Action == "output" && e.Test == "":
		if e.Output != "PASS\n" && !strings.HasSuffix(e.Output, "[no test files]\n") {
			fmt.Fprint(s.out, e.Output)
		}
	case e.Action == "output":
		s.pending[k] += e.Output
	case e.Test == "":
		s.endPackage(e)
	case e.Action == "pass":
		s.passed++
		delete(s.pending, k)
	case e.Action == "fail":
		s.failed++
		fmt.Fprintf(s.out, "%s %s\n%s", e.Package, e.Test, s.pending[k])
		delete(s.pending, k)
	case e.Action == "skip":
		// A fuzz target that has no use for one of its inputs skips it: no news.
		if !strings.HasPrefix(e.Test, "Fuzz") || !strings.Contains(e.Test, "/") {
			s.skipped++
			s.skips = append(s.skips, fmt.Sprintf("skipped %s %s: %s", e.Package, e.Test, reason(s.pending[k])))
		}
		delete(s.pending, k)
	}
}

// endPackage shows the output of tests that never ended: a panic, a time-out or
// os.Exit took the package with it.
func (s *summary) endPackage(e event) {
	if e.Action != "pass" && e.Action != "fail" && e.Action != "skip" {
		return
	}
	s.packageFailed = s.packageFailed || e.Action == "fail"
	for k, text := range s.pending {
		if k.pkg == e.Package {
			fmt.Fprintf(s.out, "%s %s did not end\n%s", k.pkg, k.test, text)
			delete(s.pending, k)
		}
	}
}

// reason is the last line that a skipped test logged, without its position.
func reason(output string) string {
	why := "no reason given"
	for line := range strings.Lines(output) {
		text := strings.TrimSpace(line)
		if text == "" || strings.HasPrefix(text, "=== ") || strings.HasPrefix(text, "--- ") {
			continue
		}
		why = text
		if _, after, ok := strings.Cut(text, ".go:"); ok {
			if _, msg, ok := strings.Cut(after, ": "); ok {
				why = msg
			}
		}
	}
	return why
}
