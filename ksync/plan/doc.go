// Package plan works out how to make the part of a kernel's routing state that
// somebody owns equal to a desired one: which nexthop objects, routes and rules to
// add, replace and delete, and in which order. It computes only: no sockets, no
// clock. Package ksync sends what it says.
//
// # Where to start
//
// [New] compares a [Desired] state with the [Actual] one and returns a [Plan], whose
// [Plan.Ops] yields the operations in order. Routes are streamed: a plan for a
// million of them has a byte for each desired one, and a small record for each that
// goes, or, of IPv4, comes.
//
// # Ownership
//
// An [Owner] owns the routes of one protocol in some tables, the rules of that
// protocol within a range of priorities, and the nexthop objects of that protocol
// within a range of ids. Nothing else is ever changed. What stands where something
// desired should is a [Conflict], not overwritten.
//
// # Order
//
// Make before break. No step loses a flow that both the actual and the desired state
// deliver (to a nexthop, or to the host), because
//
//  1. routes that deliver are entered first, in place of others of their key where
//     there are any: this can only turn a failure into a delivery;
//  2. routes that refuse go before rules lead to their table, or else right behind
//     the new rules: nothing delivered depends on them;
//  3. routes that refuse come first where no rule leads to their table yet, and else
//     last, when all that hides them is there;
//  4. throw routes come and go early or late as what they hide delivers or refuses;
//  5. rules come from the lowest priority number, and then go from the highest, so that
//     a new rule never acts before one that should precede it, nor an old one
//     after the one that preceded it has gone.
//
// The proof takes what a route's type says: routes whose nexthops are dead and flows
// that ask for an output link are outside of it. So is what [Plan.Unproven] names:
// gotos and rules with suppress_ifgroup that come or go, rules of one priority that cannot
// be deleted from the last to the first, throw routes that hide what delivers one TOS and
// refuses another.
package plan
