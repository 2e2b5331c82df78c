// Package rules is the routing policy database: the rules that decide in which
// table a flow is looked up.
//
// A Rule has selectors, a priority and an action. A List holds the rules of one
// family in the order in which a kernel walks them, and is immutable. Start with
// Initial, which is what a new network namespace has; Add and Delete take a
// Request, a rule as an RTM_NEWRULE message carries it, and answer as a kernel
// does, errno included. Match tests one rule against a Flow and names the
// selector that failed. The walk itself (lookups in tables, goto, suppressors)
// belongs to package fib, which asks Match or Next, Target and Suppresses.
//
// Match is the literal matcher: selector after selector, in the kernel's order. Next
// is the compiled one: it finds the rule at which a walk with Match would stop, at a
// cost that hardly grows with the number of rules. What it finds it compares with
// Match, so that its index can only leave out what does not match. Numbers in
// parentheses, such as (A13), are those of the reference of kernel behaviour.
package rules
