package plan

import (
	"fmt"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// Verb is what an operation does.
type Verb uint8

// The verbs.
const (
	Add     Verb = iota // where nothing is
	Append              // behind others of the same key (IPv4: prefix, TOS, metric)
	Replace             // in place of the one of ours under the same key or id
	Delete
)

var verbs = [...]string{"add", "append", "replace", "delete"}

// String is ip's word for the verb.
func (v Verb) String() string { return verbs[v] }

// Kind is what an operation is about.
type Kind uint8

// The kinds.
const (
	Nexthop Kind = iota
	Route
	Rule
)

var kinds = [...]string{"nexthop", "route", "rule"}

// String is ip's word for the kind.
func (k Kind) String() string { return kinds[k] }

// MarshalText writes that word.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Op is one operation. Of the three objects the one of its kind is set; it is valid
// only until the next operation. A deleted route is its key alone, with our protocol,
// unless more is needed to tell it from others of ours.
type Op struct {
	Verb    Verb
	Kind    Kind
	Nexthop *fib.NexthopObject
	Route   *fib.Route
	Rule    *rules.Rule
}

// Name says what the operation is about, such as "route 10.0.0.0/8 table 100".
func (o *Op) Name() string {
	switch o.Kind {
	case Nexthop:
		return fmt.Sprintf("nexthop id %d", o.Nexthop.ID)
	case Route:
		return "route " + o.Route.String()
	}
	return fmt.Sprintf("%v rule %v", o.Rule.Family, o.Rule)
}

// Conflict is something desired that is not done, because somebody else's object
// stands in the way or would be lost.
type Conflict struct {
	Kind    Kind   `json:"kind"`
	Object  string `json:"object"`  // what is desired, or should go
	Foreign string `json:"foreign"` // what is in the way
	Reason  string `json:"reason"`
}

func (c Conflict) String() string { return fmt.Sprintf("%s: %s: %s", c.Object, c.Reason, c.Foreign) }

// Count counts objects of one kind.
type Count struct {
	Desired  int `json:"desired"` // that should be there
	Owned    int `json:"owned"`   // of ours that are there
	Kept     int `json:"kept"`    // that are there as they should
	Added    int `json:"added"`   // to be added or appended
	Replaced int `json:"replaced"`
	Deleted  int `json:"deleted"`
}

// Changes is the number of operations.
func (c *Count) Changes() int { return c.Added + c.Replaced + c.Deleted }

// Counts are the counts by kind.
type Counts [3]Count

// Changes is the number of operations.
func (c *Counts) Changes() (n int) {
	for i := range c {
		n += c[i].Changes()
	}
	return n
}

// smallDeletion is what a guard never minds: a handful of objects comes and goes.
const smallDeletion = 10

// TooMuchError is the error of a plan that deletes more than it may.
type TooMuchError struct{ Deleted, Owned, Percent int }

func (e *TooMuchError) Error() string {
	return fmt.Sprintf("the plan deletes %d of %d objects that are ours, more than %d%%: "+
		"nothing was done; force it if that is meant", e.Deleted, e.Owned, e.Percent)
}

// Guard refuses, as *[TooMuchError], to delete more than percent of what is owned,
// all kinds together. Up to ten deletions are always allowed.
func (c *Counts) Guard(percent int) error {
	e := &TooMuchError{Percent: percent}
	for i := range c {
		e.Deleted += c[i].Deleted
		e.Owned += c[i].Owned
	}
	if e.Deleted <= smallDeletion || e.Deleted*100 <= e.Owned*percent {
		return nil
	}
	return e
}
