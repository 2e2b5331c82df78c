package ksync

import (
	"errors"
	"log/slog"
	"slices"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
)

// ErrChanging is wrapped by the error of a scan that could not see one moment:
// the kernel's state changed under it every time.
var ErrChanging = errors.New("the kernel's state keeps changing")

// Report counts attributes, flags and values of the kernel's messages that the
// model does not have, by name and number.
type Report = rtnl.Report

// Reply is the kernel's answer to a route query.
type Reply = rtnl.Reply

// What a query asks for beside the decision; see [Querier.Get].
const (
	LookupTable = rtnl.RTM_F_LOOKUP_TABLE // name the real table (0.6)
	FibMatch    = rtnl.RTM_F_FIB_MATCH    // show the stored route
)

// Options say what to read. The zero value reads everything in the caller's own
// network namespace.
type Options struct {
	NetNS NetNS
	// Tables whose routes to read, in any order; none, or table 0 among them: all.
	// A table that is missing is empty.
	Tables []fib.TableID
	Config fib.Config // of the FIB that Load makes; a zero Kernel means the running one

	// Progress is called now and then with what is being read and how much of it
	// has been; nil: nobody wants to know. It runs on the caller's goroutine.
	Progress func(stage string, n int)
	Logger   *slog.Logger // hears of retries and of what is not modelled; nil: silence
	// Report, if not nil, gets what is not modelled.
	Report *Report
}

// tables are what to dump: distinct tables, or 0 for all in one dump.
func (o *Options) tables() []fib.TableID {
	if len(o.Tables) == 0 || slices.Contains(o.Tables, fib.TableUnspec) {
		return []fib.TableID{fib.TableUnspec}
	}
	return slices.Compact(slices.Sorted(slices.Values(o.Tables)))
}

func (o *Options) progress(stage string, n int) {
	if o.Progress != nil {
		o.Progress(stage, n)
	}
}

func (o *Options) logger() *slog.Logger {
	if o.Logger != nil {
		return o.Logger
	}
	return slog.New(slog.DiscardHandler)
}
