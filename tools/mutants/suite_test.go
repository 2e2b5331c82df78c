package main

import (
	"strings"
	"testing"
)

func TestResultOf(t *testing.T) {
	for name, tc := range map[string]struct {
		in            []string
		failed, test  string
		output, error string // parts
		skipped       int
	}{
		"passes": {in: []string{`{"Action":"run","Package":"a/p","Test":"TestA"}`, `{"Action":"pass","Package":"a/p","Test":"TestA"}`, `{"Action":"pass","Package":"a/p"}`}},
		"the innermost that fails": {in: []string{
			`{"Action":"output","Package":"a/p","Test":"TestA/x","Output":"want 1\n"}`,
			`{"Action":"fail","Package":"a/p","Test":"TestA/x"}`, `{"Action":"fail","Package":"a/p","Test":"TestA"}`, `{"Action":"fail","Package":"a/p"}`,
		}, failed: "p TestA/x", test: "TestA/x", output: "want 1"},
		"a panic": {in: []string{
			`{"Action":"run","Package":"a/q","Test":"TestElsewhere"}`, `{"Action":"run","Package":"a/p","Test":"TestA"}`,
			`{"Action":"output","Package":"a/p","Test":"TestA","Output":"panic: boom\n"}`, `{"Action":"fail","Package":"a/p"}`,
		}, failed: "p TestA (did not end)", output: "boom"},
		"does not build": {in: []string{
			`{"ImportPath":"a/p","Action":"build-output","Output":"p.go:1: undefined: x\n"}`, `{"ImportPath":"a/p","Action":"build-fail"}`, `{"Action":"fail","Package":"a/p"}`,
		}, error: "undefined: x"},
		"a reason to skip": {in: []string{
			`{"Action":"output","Package":"a/p","Test":"TestA","Output":"    a_test.go:9: no root\n"}`,
			`{"Action":"output","Package":"a/p","Test":"TestA","Output":"--- SKIP: TestA (0.00s)\n"}`,
			`{"Action":"skip","Package":"a/p","Test":"TestA"}`, `{"Action":"skip","Package":"a/p","Test":"FuzzA/1"}`,
		}, skipped: 1},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := resultOf([]byte(strings.Join(tc.in, "\n") + "\n"))
			if (err != nil) != (tc.error != "") || err != nil && !strings.Contains(err.Error(), tc.error) {
				t.Fatalf("error %v, want %q", err, tc.error)
			}
			if err == nil && (res.failed != tc.failed || res.test != tc.test || !strings.Contains(res.output, tc.output) || len(res.skipped) != tc.skipped) {
				t.Errorf("got %+v", res)
			}
		})
	}
}

func TestExactly(t *testing.T) {
	if got, want := exactly("TestA/all/v4-a.b"), `^TestA$/^all$/^v4-a\.b$`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
