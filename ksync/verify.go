package ksync

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/fibula-net/fibula/fib"
)

// VerifyOptions say what [Verify] compares.
type VerifyOptions struct {
	NetNS  NetNS
	Config fib.Config
	Flows  int        // how many; 0: 100,000
	Seed   uint64     // of the flows
	Family fib.Family // 0: both

	// Groups bounds the disagreements that are told, each for one cause; 0: 10.
	// Those after the first Shrink (0: 5) come without reproduction.
	Groups, Shrink int
	NoShrink       bool

	// Progress and Logger are as in [Options].
	Progress func(stage string, n int)
	Logger   *slog.Logger

	// Alter, if not nil, edits each state that was read before answers are computed
	// from it: to see that a wrong FIB is noticed.
	Alter func(*fib.State)
}

const (
	defaultFlows  = 100_000
	defaultGroups = 10
	defaultShrink = 5
)

// ErrUnstable is wrapped by the error of a verification that found answers to
// differ, but no moment of rest in which to be sure. Nothing is proven then.
var ErrUnstable = errors.New("the namespace keeps changing")

// VerifyReport is what a verification found. But for the time it took, the same
// seed and the same namespace give the same.
type VerifyReport struct {
	Kernel  string `json:"kernel"` // release of the running kernel
	Seed    uint64 `json:"seed"`
	Flows   int    `json:"flows"`
	Agree   int    `json:"agree"`
	Differ  int    `json:"differ"`
	Unknown int    `json:"undetermined"` // nobody outside the kernel can know the answer
	// History counts answers that differ in what earlier queries leave behind in the
	// kernel where routes share nexthop objects, realms or attributes.
	History int `json:"history"`
	// Unanswered are queries to which the kernel gives no answer about routing; see [Unanswerable].
	Unanswered int `json:"unanswered"`
	// Reloads is how often the namespace was read again, since it had changed.
	Reloads  int            `json:"reloads"`
	Rows     []VerifyRow    `json:"rows"`
	Coverage Coverage       `json:"coverage"` // of one flow in coverageStep
	Groups   []Disagreement `json:"-"`
	// Unmodelled counts what the kernel told and the model does not have.
	Unmodelled Report `json:"-"`
	// Compared is how long the comparing took, without shrinking.
	Compared time.Duration `json:"-"`
	// MoreGroups is how many causes there are beside those told.
	MoreGroups int `json:"more_groups"`
}

// VerifyRow counts flows of one kind: by family, direction and our answer.
type VerifyRow struct {
	Family    string `json:"family"`    // inet, inet6
	Direction string `json:"direction"` // output, input
	Outcome   string `json:"outcome"`   // an errno's name or the type of the answer
	Flows     int    `json:"flows"`
	Differ    int    `json:"mismatches"`
	Unknown   int    `json:"undetermined"`
}

// Outcome names the kind of an answer: the errno's name, or the type.
func Outcome(d *fib.Decision) string {
	if d.Errno != 0 {
		return d.Errno.Name()
	}
	return d.Type.String()
}

// Answer is one flow with both answers.
type Answer struct {
	Flow  fib.Flow
	Ours  fib.Decision
	Route fib.Route // behind our answer, as fibmatch shows it; zero if there is none

	Kernel      Reply // zero if KernelErrno is not 0
	KernelErrno fib.Errno
	Stored      Reply // the kernel's answer with fibmatch
	StoredErrno fib.Errno

	Differences []Difference
}

// OnlyStored reports whether only the answers with fibmatch differ.
func (a *Answer) OnlyStored() bool {
	return !slices.ContainsFunc(a.Differences, func(d Difference) bool { return !d.stored() })
}

func (d *Difference) stored() bool {
	return strings.HasPrefix(d.Field, "stored ") || d.Field == "fibmatch errno" || d.Field == "legs" || d.Field == "prefix" || d.Field == "from"
}

// Disagreement is one cause for which answers differ, with the first flow that
// shows it.
type Disagreement struct {
	Answer
	Count       int // flows of this cause
	Explanation fib.Explanation
	State       *fib.State // of the namespace when they differed
	Repro       *Repro     // nil: none was looked for, or found; then NoRepro says why
	NoRepro     string
}

// Repro is the least configuration and flow found for which the answers differ.
type Repro struct {
	State    fib.State // as loaded from the scratch namespace
	Commands []string  // that make it, the query last
	Answer   Answer
	Tried    int // scratch namespaces that were made
}

// cause is what answers have in common that differ for one reason, most likely.
func (a *Answer) cause() string {
	k, s := &a.Kernel.Route, &a.Stored.Route
	family, direction := familyWord(a.Flow.Family()), directionWord(&a.Flow)
	return fmt.Sprint(family, direction, Outcome(&a.Ours), a.Ours.HasRule, a.Ours.Rule, a.Ours.Table, a.Ours.Prefix,
		"/", a.KernelErrno, k.Type, k.Table, s.Dst)
}

func familyWord(f fib.Family) string {
	if f == fib.Inet {
		return "inet"
	}
	return "inet6"
}

func directionWord(f *fib.Flow) string {
	if f.Iif != 0 {
		return "input"
	}
	return "output"
}
