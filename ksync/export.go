package ksync

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/ksync/plan"
)

// DefaultMaxDelete is the percentage of what is owned that an export deletes without
// being forced.
const DefaultMaxDelete = 50

// ErrPending is wrapped by what is said of a desired object that the kernel refuses
// for now: its link is down or missing, its gateway not reachable. It is tried again
// when links, addresses or routes change.
var ErrPending = errors.New("waits for a link or gateway")

// ErrGivenUp is wrapped by what is said of a desired object that the kernel refused again and
// again. It is tried no more until it, or a link, address or nexthop object, changes.
var ErrGivenUp = errors.New("given up until it, or a link, address or nexthop, changes")

// ErrSourceEnded is wrapped by the error of a source that will never have another state.
var ErrSourceEnded = errors.New("the source of the desired state has ended")

// ExportOptions say what an export owns and how it works.
type ExportOptions struct {
	NetNS    NetNS
	Owner    plan.Owner
	Nexthops plan.Mode

	// MaxDelete is the percentage of what is owned that may be deleted at once; 0:
	// DefaultMaxDelete; -1: nothing. Force lets it delete everything.
	MaxDelete int
	Force     bool

	// Persist leaves everything in the kernel when Export ends; else it is withdrawn.
	Persist bool
	// Grace is how long Export waits after its start before it deletes leftovers that
	// are not desired: a graceful restart.
	Grace time.Duration

	// Result hears of each operation what became of it: nil, or the kernel's errno with
	// its remark. The operation is valid during the call. It costs a microsecond each;
	// without it only failures are looked at.
	Result func(plan.Op, error)
	// Count hears, after each batch of requests, how many of them came to what. It costs
	// nanoseconds each.
	Count func(OpResult, int)
	// Event hears of what happens while Export runs.
	Event  func(ExportEvent)
	Logger *slog.Logger // nil: silence
}

// OpResult is what a kernel said to requests of one kind.
type OpResult struct {
	Verb  plan.Verb
	Kind  plan.Kind
	Errno fib.Errno // 0: done
}

func (o *ExportOptions) logger() *slog.Logger {
	if o.Logger != nil {
		return o.Logger
	}
	return slog.New(slog.DiscardHandler)
}

func (o *ExportOptions) maxDelete() int {
	switch o.MaxDelete {
	case 0:
		return DefaultMaxDelete
	case -1:
		return 0
	}
	return o.MaxDelete
}

// ExportReport tells what one synchronization did.
type ExportReport struct {
	Counts    plan.Counts
	Done      int // operations that the kernel confirmed
	Retried   int // of these, those that succeeded only after others
	Failures  []Failure
	Failed    int // objects that were refused, now or before, of which Failures has the first hundred
	Pending   int // of these, those that wait for a link or gateway
	GivenUp   int // of these, those that are tried no more
	Missing   plan.Missing
	Conflicts []plan.Conflict
	Unproven  []string
	Whole     bool // all that is owned was looked at, not only what has changed
	Took      time.Duration
}

// InSync reports whether the kernel now is as desired.
func (r *ExportReport) InSync() bool {
	return r.Failed == 0 && len(r.Conflicts) == 0 && r.Missing.Routes+r.Missing.Nexthops == 0
}

// Failure is an operation that the kernel refused.
type Failure struct {
	Op  string // such as "add route 10.0.0.0/8 table 100"
	Err error  // wraps the errno; [ErrPending] where it may succeed later
}

func (f Failure) String() string { return fmt.Sprintf("%s: %v", f.Op, f.Err) }

// maxFailures is how many failures a report names.
const maxFailures = 100

// ExportEvent is something that happened to an export.
type ExportEvent struct {
	Kind   ExportEventKind
	Object string        // of a fight: what is fought about
	Times  int           // of a fight: how often it was lost lately; of a repair: objects
	Wait   time.Duration // of a fight: how long nothing is done about it
	Writer Writer        // of a fight: who did it last
	Report *ExportReport // of a synchronization
	Err    error         // of a failure
}

// ExportEventKind says what an event is about.
type ExportEventKind string

// The kinds of event.
const (
	ExportSynced   ExportEventKind = "synced"   // everything was compared and made equal
	ExportRepaired ExportEventKind = "repaired" // what somebody changed was mended
	ExportFight    ExportEventKind = "fight"    // somebody removes an object again and again
	ExportOverflow ExportEventKind = "overflow" // changes were missed; everything is compared
	ExportRefused  ExportEventKind = "refused"  // a desired state that was not accepted; the last one stays
	ExportGuarded  ExportEventKind = "guarded"  // to mend the state in force more would be deleted than may be; it is tried later
)

// Writer is what is known of somebody who changed the kernel's state: the port of the
// netlink socket, which most programs let the kernel choose to be their process id.
type Writer struct {
	Port    uint32
	Process string // name of the process with that id, if there is one; a guess
}

// String is such as "netlink port 4711 (perhaps process systemd-network)".
func (w Writer) String() string {
	if w.Port == 0 {
		return "the kernel itself"
	}
	if w.Process == "" {
		return fmt.Sprintf("netlink port %d", w.Port)
	}
	return fmt.Sprintf("netlink port %d (perhaps process %s)", w.Port, w.Process)
}

// Source gives an export what it should make.
type Source struct {
	// Desired returns the desired state. If the FIB has links, they are the kernel's of
	// the same name; else its indexes are the kernel's. An error leaves the last state in
	// force; one that wraps [ErrSourceEnded] ends the export, and all stays as it is.
	Desired func() (*fib.Snapshot, error)
	// Changed says that there is another one. nil: it never changes.
	Changed <-chan struct{}
}

// Fixed is a source that never changes.
func Fixed(s *fib.Snapshot) Source {
	return Source{Desired: func() (*fib.Snapshot, error) { return s, nil }}
}
