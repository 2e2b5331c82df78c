package ksync

import (
	"context"
	"errors"
	"net/netip"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/rules"
)

// ErrNamespaceGone is wrapped by the error with which a mirror ends when its namespace
// was deleted, its process ended, or another namespace took its name.
var ErrNamespaceGone = errors.New("the network namespace is gone")

// attempts bounds how often a dump, a scan or the start of a mirror is tried.
const attempts = 10

// errLost: messages are missing, so what was read is worthless.
var errLost = errors.New("the kernel dropped messages")

// errBacklog: more was announced than it would cost to read everything anew.
var errBacklog = errors.New("events wait that cost more to apply than to read everything anew")

// errMoved: what was read at different times does not go together.
var errMoved = errors.New("links, addresses, rules, nexthops or settings changed during the scan")

// errLook: a look failed for a reason that may pass, such as a kernel without memory.
var errLook = errors.New("the kernel could not be looked at")

// errInterrupted: the kernel marked a dump as inconsistent (NLM_F_DUMP_INTR).
var errInterrupted = errors.New("a dump was interrupted by changes")

// source is what a mirror needs of an operating system: to hear of changes, and to look.
// All its methods are called by one goroutine.
type source interface {
	// news is sent to when something waits to be taken.
	news() <-chan struct{}
	// barrier waits until all that was announced before the call can be taken.
	barrier() error
	// finished waits for what the kernel is in the middle of: what it has changed is
	// announced then.
	finished(context.Context) error
	// take returns what was announced since the last call. An error that is errLost or
	// errBacklog says that some of it is missing, and nothing is heard until restart.
	take() (batch, error)
	// restart begins to hear anew after a loss: what is looked at from then on, and what
	// is taken from then on, is all there is. False: news still come in too fast.
	restart() (bool, error)

	families() []fib.Family
	// listen has news and looks be of what is followed now, as far as that can be told:
	// what else comes is passed over.
	listen(*part) error
	// surroundings looks at everything but routes, neighbours and modes.
	surroundings(context.Context) (*fib.State, error)
	// complete adds neighbours, and with modes whether rules are walked.
	complete(ctx context.Context, st *fib.State, modes bool) error
	// routes looks at the routes of a table, or with table 0 of all, in the order of
	// [fib.Comparison]. errInterrupted at the end says that they may be of several moments.
	routes(ctx context.Context, f fib.Family, table fib.TableID, fn func(*fib.Route) error) error
	// routesBy is routes of those over one link, of all that is followed. False: it cannot
	// look at these alone.
	routesBy(ctx context.Context, f fib.Family, link int32, fn func(*fib.Route) error) (bool, error)
	// learn asks for what looking does not show.
	learn(*fib.FIB) (fib.Result, error)
	// room is how many bytes of news the kernel keeps, and how many were asked for; 0: not known.
	room() (granted, asked int)
	// alive tells whether the namespace still is what it was.
	alive() error
	report() *Report
	close()
}

// likening is a source that knows which routes differ in nothing but their destination.
type likening interface {
	// liken has routes pass over those of which same says that they need no look. Kinds are the same
	// for routes that differ in nothing else. Nil: none.
	liken(same func(kind uint64, dst netip.Prefix) bool)
	// kind is that of the route that routes passes on now; 0: not known.
	kind() uint64
}

// batch is a number of events in the order in which they were announced. It may be gone
// through several times.
type batch interface {
	len() int
	// each calls fn with every event, which is valid during the call only.
	each(fn func(*event) error) error
}

// eventKind is what an event is about.
type eventKind uint8

const (
	eventLink eventKind = iota
	eventAddress
	eventRule
	eventNexthop
	eventNeighbour
	eventNetconf
	eventRoute
	eventUnclear // something about the surroundings that the message does not tell
	numEvents
)

// String names the kind as statistics do.
func (k eventKind) String() string {
	return [...]string{"link", "address", "rule", "nexthop", "neighbour", "netconf", "route", "other"}[k]
}

// event is one announcement. Of the objects only that of its kind counts.
type event struct {
	kind  eventKind
	gone  bool
	flags fib.AddFlags // of a route that is not gone
	// vague: it only tells that there is something to look at. Of a route, table and
	// destination count, of anything else nothing.
	vague bool

	link      fib.Link
	address   fib.Address
	rule      rules.Request
	nexthop   fib.NexthopObject
	neighbour fib.Neighbour
	netconf   rtnl.Netconf
	route     fib.Route
}
