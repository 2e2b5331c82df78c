package main

import (
	"strings"
	"testing"
)

const (
	passed  = `{"Action":"pass","Package":"p","Test":"TestA"}`
	closing = `{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}`
)

func TestRun(t *testing.T) {
	for name, tc := range map[string]struct {
		in   []string
		ok   bool
		want []string // each part of the output
	}{
		"passes": {[]string{passed, closing, `{"Action":"pass","Package":"p"}`}, true,
			[]string{"ok  \tp\t0.1s\n", "1 passed, 0 failed, 0 skipped\n"}},
		"nothing ran": {nil, false, []string{"0 passed, 0 failed, 0 skipped\n"}},
		"shows why it skips": {[]string{passed,
			`{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}`,
			`{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:9: no root: sorry\n"}`,
			`{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}`,
			`{"Action":"skip","Package":"p","Test":"TestB"}`,
			`{"Action":"skip","Package":"p","Test":"FuzzC/seed#0"}`,
		}, true, []string{"skipped p TestB: no root: sorry\n", "1 passed, 0 failed, 1 skipped\n"}},
		"shows a failure whole": {[]string{passed,
			`{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:9: got 1\n"}`,
			`{"Action":"fail","Package":"p","Test":"TestB"}`, `{"Action":"fail","Package":"p"}`,
		}, false, []string{"p TestB\n    b_test.go:9: got 1\n", "1 passed, 1 failed, 0 skipped\n"}},
		"shows a test cut short": {[]string{passed,
			`{"Action":"output","Package":"p","Test":"TestB","Output":"panic: boom\n"}`, `{"Action":"fail","Package":"p"}`,
		}, false, []string{"p TestB did not end\npanic: boom\n"}},
		"shows what does not build": {[]string{passed,
			`{"ImportPath":"q","Action":"build-output","Output":"q/q.go:1: undefined: x\n"}`, `{"Action":"fail","Package":"q"}`,
		}, false, []string{"q/q.go:1: undefined: x\n"}},
		"passes plain text on": {[]string{passed, "go: no such module"}, true, []string{"go: no such module\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			in := ""
			if tc.in != nil {
				in = strings.Join(tc.in, "\n") + "\n"
			}
			ok, err := run(strings.NewReader(in), &out)
			if err != nil || ok != tc.ok {
				t.Errorf("run = %t, %v, want %t", ok, err, tc.ok)
			}
			for _, part := range tc.want {
				if !strings.Contains(out.String(), part) {
					t.Errorf("output lacks %q:\n%s", part, out.String())
				}
			}
		})
	}
}
