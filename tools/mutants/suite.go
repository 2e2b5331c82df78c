package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// stage is a part of the tests.
type stage struct {
	name string
	args []string // of go test
	// room: only for changes below this directory, as the rest cannot tell.
	room string
	// kernel: asks a kernel, whose own work may come late on a busy machine. A test
	// that fails must fail again.
	kernel bool
}

// stages are run in this order: from milliseconds to seconds, and what needs a
// kernel last.
var stages = []stage{
	{name: "rules", args: []string{"-short", "./rules"}, room: "rules/"},
	{name: "properties", args: []string{"-short", "./fib"}},
	{name: "cases", args: []string{"-run=^TestRecordedCases$", "./cmd/fibula"}},
	{name: "differential", args: []string{"-count=1", "-run=^TestKernelDifferential$", "./ksync"}, kernel: true},
	{name: "effects", args: []string{"-count=1", "./rules", "./fib"}, kernel: true},
	{name: "live cases", args: []string{"-count=1", "-run=^TestCases$", "./cmd/fibula"}, kernel: true},
}

// fixed makes the random tests say the same in every run.
var fixed = []string{"TEST_SEED=3", "DIFF_CONFIGS=80", "DIFF_FLOWS=250"}

// result is how a stage ended.
type result struct {
	failed  string // package and test; "" if all passed
	test    string // that test; "" if it did not end
	skipped []string
	output  string // of what failed
}

// event is one line of "go test -json" (go doc test2json).
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string // of build output
}

// attempts is how often a stage is run until it passes or a failure comes again.
const attempts = 3

// runStage runs a stage with an overlay, if one is given. What does not build is
// an error: such a mutant shows nothing.
func (c *checkout) runStage(ctx context.Context, st stage, overlay string) (res result, err error) {
	for range attempts {
		res, err = c.goTest(ctx, overlay, st.args...)
		if err != nil || res.failed == "" || !st.kernel || res.test == "" {
			break
		}
		again, err := c.goTest(ctx, overlay, append(slices.Clone(st.args), "-run="+exactly(res.test))...)
		if err != nil || again.failed == res.failed {
			return res, err
		}
	}
	return res, err
}

// exactly is the pattern of one test for go test -run.
func exactly(test string) string {
	parts := strings.Split(test, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// goTest runs go test once.
func (c *checkout) goTest(ctx context.Context, overlay string, more ...string) (result, error) {
	args := []string{"test", "-json", "-vet=off", "-failfast", "-timeout=5m"}
	if overlay != "" {
		args = append(args, "-overlay="+overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, more...)...)
	cmd.Dir, cmd.Env = c.root, append(os.Environ(), fixed...)
	// Interrupted, go test waits for the running test, which then removes its namespaces.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		return result{}, errors.Join(err, ctx.Err())
	}
	res, perr := resultOf(out)
	if perr != nil {
		return result{}, perr
	}
	if err != nil && res.failed == "" {
		return result{}, fmt.Errorf("go test: %w\n%s", err, stderr.String())
	}
	return res, nil
}

// resultOf reads the output of go test -json. The first test that fails is the one
// that noticed; of those that it is a part of, the innermost.
func resultOf(out []byte) (result, error) {
	var res result
	said := map[[2]string]*strings.Builder{}
	var open [][2]string // running tests, the last started one last
	for line := range bytes.Lines(out) {
		var e event
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		k := [2]string{e.Package, e.Test}
		if said[k] == nil {
			said[k] = &strings.Builder{}
		}
		switch {
		case e.Action == "build-output":
			res.output += e.Output
		case e.Action == "build-fail":
			return res, fmt.Errorf("does not build: %s", res.output)
		case e.Action == "output":
			said[k].WriteString(e.Output)
		case e.Action == "run":
			open = append(open, k)
		case e.Test != "" && (e.Action == "pass" || e.Action == "skip" || e.Action == "fail"):
			open = slices.DeleteFunc(open, func(o [2]string) bool { return o == k })
			if e.Action == "skip" && !strings.HasPrefix(e.Test, "Fuzz") {
				res.skipped = append(res.skipped, e.Test+": "+lastLine(said[k].String()))
			}
			if e.Action == "fail" && res.failed == "" {
				res.failed, res.test, res.output = short(e.Package)+" "+e.Test, e.Test, said[k].String()
			}
		case e.Action == "fail" && res.failed == "":
			// A panic or a time-out took the package with it.
			res.failed = short(e.Package)
			for _, o := range open {
				if o[0] == e.Package {
					res.failed = short(o[0]) + " " + o[1] + " (did not end)"
					res.output = said[o].String()
				}
			}
		}
	}
	return res, nil
}

// short is the last element of a package's path.
func short(pkg string) string { return pkg[strings.LastIndexByte(pkg, '/')+1:] }

// lastLine is the reason that a skipped test gave.
func lastLine(output string) string {
	why := "no reason given"
	for line := range strings.Lines(output) {
		if s := strings.TrimSpace(line); s != "" && !strings.HasPrefix(s, "---") && !strings.HasPrefix(s, "===") {
			why = s
		}
	}
	return why
}
