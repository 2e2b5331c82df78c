// Mutants shows that the tests would notice a mistake in the lookup: it makes one
// change after the other from a list (mutants.txt), each of which gives some flow
// another answer than the kernel's, and runs the tests, the cheap ones first,
// until one fails. Changes that no test notices are listed, and make it exit 1.
//
// The changed files go to the compiler by "go test -overlay": the checkout is
// only read. Tests run with fixed seeds, so that a run says the same again.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

//go:embed mutants.txt
var list []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fl := flag.NewFlagSet("mutants", flag.ContinueOnError)
	fl.SetOutput(stderr)
	root := fl.String("root", "..", "the checkout")
	only := fl.String("run", "", "only mutants whose name or statement matches this regular expression")
	atOnce := fl.Int("j", 2, "mutants tested at the same time")
	if err := fl.Parse(args); err != nil {
		return err
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	c, err := openCheckout(*root)
	if err != nil {
		return err
	}
	all, err := c.parse(list)
	if err != nil {
		return err
	}
	var chosen []mutant
	for _, m := range all {
		if pattern.MatchString(m.name) || pattern.MatchString(m.statement) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		return fmt.Errorf("no mutant matches %q", *only)
	}
	r := report{out: stdout, sign: terminalOnly(stderr), total: len(chosen), begin: time.Now()}
	if err := c.unchanged(ctx, &r); err != nil {
		return err
	}
	r.head(chosen)
	if err := c.testAll(ctx, chosen, max(*atOnce, 1), &r); err != nil {
		return err
	}
	return r.end()
}

// unchanged runs every stage on the checkout as it is: a test that fails anyway
// notices nothing.
func (c *checkout) unchanged(ctx context.Context, r *report) error {
	for _, st := range stages {
		r.progress("unchanged: " + st.name)
		res, err := c.runStage(ctx, st, "")
		if err != nil {
			return err
		}
		if res.failed != "" {
			return fmt.Errorf("%s fails without any change; mend it first:\n%s", res.failed, res.output)
		}
		for _, s := range res.skipped {
			if st.kernel {
				r.note("left out: " + s)
			}
		}
	}
	return nil
}

// testAll tests the mutants, a few at a time.
func (c *checkout) testAll(ctx context.Context, ms []mutant, atOnce int, r *report) error {
	work := make(chan mutant)
	errs := make(chan error, atOnce)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for m := range work {
				if err := c.test(ctx, m, r); err != nil {
					errs <- err
					cancel()
					return
				}
			}
		})
	}
feed:
	for _, m := range ms {
		select {
		case work <- m:
		case <-ctx.Done():
			break feed
		}
	}
	close(work)
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return ctx.Err()
	}
}

// test runs the stages on one mutant until one notices it.
func (c *checkout) test(ctx context.Context, m mutant, r *report) error {
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	overlay, err := c.overlay(dir, m)
	if err != nil {
		return err
	}
	begin := time.Now()
	for _, st := range stages {
		if !strings.HasPrefix(m.file, st.room) {
			continue
		}
		r.progress(m.name + ": " + st.name)
		res, err := c.runStage(ctx, st, overlay)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		if res.failed != "" {
			r.caught(m, st, res.failed, time.Since(begin))
			return nil
		}
	}
	r.survived(m, time.Since(begin))
	return nil
}

// overlay writes the changed file and what "go test -overlay" reads into dir.
func (c *checkout) overlay(dir string, m mutant) (string, error) {
	changed := filepath.Join(dir, "changed.go")
	if err := os.WriteFile(changed, m.apply(c.files[m.file]), 0o600); err != nil {
		return "", err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "{%q: {%q: %q}}\n", "Replace", filepath.Join(c.root, m.file), changed)
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, b.Bytes(), 0o600)
}
