package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/iproute"
	"github.com/fibula-net/fibula/ksync"
	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/flat"
	"github.com/fibula-net/fibula/lookup/hashzone"
	"github.com/fibula-net/fibula/lookup/trie"
)

// engines are the choices of --engine, the default first.
var engines = []lookup.Engine{flat.Engine{}, trie.Engine{}, hashzone.Engine{}}

func engineNames() (names []string) {
	for _, e := range engines {
		names = append(names, e.Name())
	}
	return names
}

// engineNamed returns nil for a name that no engine has.
func engineNamed(name string) lookup.Engine {
	for _, e := range engines {
		if e.Name() == name {
			return e
		}
	}
	return nil
}

// fibConfig is the configuration that the options ask for.
func (a *app) fibConfig() fib.Config { return fib.Config{Engine: engineNamed(a.engine)} }

// namespace is the live source that the options name.
func (a *app) namespace() ksync.NetNS {
	switch {
	case strings.Contains(a.netns, "/"): // no name has one
		return ksync.Path(a.netns)
	case a.netns != "":
		return ksync.Named(a.netns)
	case a.pid != 0:
		return ksync.PID(a.pid)
	}
	return ksync.Current()
}

// load reads the chosen source into a FIB and returns what it then answers from.
func (a *app) load(ctx context.Context) (*fib.Snapshot, error) {
	if a.snapshot != nil {
		return a.snapshot, nil
	}
	if a.state != "" {
		st, err := a.open(a.state)
		if err != nil {
			return nil, err
		}
		return loadState(st, a.fibConfig())
	}
	var report ksync.Report
	p := a.startProgress()
	f, err := ksync.Load(ctx, ksync.Options{NetNS: a.namespace(), Config: a.fibConfig(), Progress: p.show, Report: &report})
	p.end()
	if err != nil {
		return nil, a.liveError(err)
	}
	a.warnUnmodelled(&report)
	return f.Snapshot(), nil
}

// scan reads the chosen source as plain data.
func (a *app) scan(ctx context.Context) (*fib.State, error) {
	if a.snapshot != nil {
		return a.snapshot.Dumped(), nil
	}
	if a.state != "" {
		return a.open(a.state)
	}
	p := a.startProgress()
	st, report, err := ksync.Scan(ctx, ksync.Options{NetNS: a.namespace(), Progress: p.show})
	p.end()
	if err != nil {
		return nil, a.liveError(err)
	}
	a.warnUnmodelled(&report)
	// A dump has them in the order of a hash table.
	slices.SortFunc(st.Neighbours, func(a, b fib.Neighbour) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), a.Addr.Compare(b.Addr))
	})
	return &st, nil
}

func (a *app) open(path string) (*fib.State, error) {
	if path == "-" {
		path = "/dev/stdin"
	}
	st, warnings, err := iproute.Open(path)
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	a.warn(warnings)
	return st, nil
}

// loadState makes a FIB of plain data.
func loadState(st *fib.State, c fib.Config) (*fib.Snapshot, error) {
	f := fib.New(c)
	if _, err := f.Update(func(tx *fib.Txn) error { return tx.Load(st) }); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return f.Snapshot(), nil
}

// liveError adds how to mend err, and ip's exit code where a namespace cannot be
// entered.
func (a *app) liveError(err error) error {
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return fmt.Errorf("%w; use --state FILE", err)
	case a.netns != "" && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)):
		return &exitError{iproute.ExitUsage, err}
	}
	return err
}

// warnUnmodelled names what the kernel told and answers do not take into account.
func (a *app) warnUnmodelled(report *ksync.Report) {
	for _, u := range report.Sorted() {
		a.warn([]string{fmt.Sprintf("%v is not modelled (met %d times): answers may differ from the kernel's", u, report.Count(u))})
	}
}
