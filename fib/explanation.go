package fib

import (
	"net/netip"

	"github.com/fibula-net/fibula/rules"
)

// Explanation is a decision with its story: every step taken and every step
// passed over, in order.
type Explanation struct {
	Flow     Flow
	Decision Decision
	Steps    []Step
	Route    *Route // the route behind the answer, nil when there is none
	Legs     []Leg  // the legs the flow could take, with their shares, when there are several
	// Candidates are all answers that are possible, Decision first, where it is undetermined.
	Candidates []Match
}

// Leg is one candidate of a multipath choice.
type Leg struct {
	Nexthop Nexthop
	Share   float64 // of the hash space, 0 … 1; 0: excluded
	Chosen  bool
	Reason  Reason // why it is excluded, if it is
}

// StepKind is what a step is about.
type StepKind uint8

// The kinds of step, from the outside in.
const (
	StepCheck  StepKind = iota // a check of the flow itself (C1–C5, C10, C25–C31)
	StepRule                   // one rule
	StepTable                  // one table was entered, or is missing, or had no answer
	StepPrefix                 // one prefix that covers the destination was looked at
	StepRoute                  // one alias under that prefix
	StepLeg                    // one leg of that alias
	StepSource                 // the choice of the source address
	StepResult                 // the answer
)

// Step is one line of the story. Only the fields that its kind needs are set.
type Step struct {
	Kind   StepKind
	Reason Reason
	Taken  bool // the step led on; false: passed over

	Rule      *rules.Rule    // StepRule
	RuleIndex int            // StepRule
	Selector  rules.Selector // StepRule: the first selector that failed
	Table     TableID        // StepTable and below
	Prefix    netip.Prefix   // StepPrefix and below
	SrcPrefix netip.Prefix   // IPv6 source tree
	Route     *Route         // StepRoute: the alias
	Leg       int            // StepLeg: position
	Nexthop   *Nexthop       // StepLeg
	Addr      netip.Addr     // StepSource, StepCheck: the address in question
	Link      int32          // StepSource, StepLeg: the link in question
	Errno     Errno          // where the step ended the walk with an error
	Detail    string         // a short remark for people; never needed by programs
}
