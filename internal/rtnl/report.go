package rtnl

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kind is what an [Unknown] is about.
type Kind string

// The kinds.
const (
	KindAttribute Kind = "attribute"
	KindFlag      Kind = "flag"
	KindValue     Kind = "value"
)

// Unknown is something in a message that the model does not have.
type Unknown struct {
	Message string `json:"message"` // RTM_NEWROUTE, …
	Kind    Kind   `json:"kind"`
	Name    string `json:"name"`   // RTA_TTL_PROPAGATE; RTA_99 where no name is known
	Number  uint32 `json:"number"` // of the attribute; the flag's bit; the value
}

// String is such as "RTM_NEWROUTE attribute RTA_99 (99)".
func (u Unknown) String() string {
	if u.Kind == KindFlag {
		return fmt.Sprintf("%s %s %s (%#x)", u.Message, u.Kind, u.Name, u.Number)
	}
	return fmt.Sprintf("%s %s %s (%d)", u.Message, u.Kind, u.Name, u.Number)
}

// Report counts what decoders met and do not model. The zero value is an empty
// report; decoders take nil for "not interested". It is not safe for concurrent
// use. Nothing is allocated while there is no news.
type Report struct {
	counts map[Unknown]int
}

// Met counts u, if there is a report at all.
func (r *Report) Met(u Unknown) {
	if r != nil {
		r.add(u)
	}
}

func (r *Report) add(u Unknown) {
	if r.counts == nil {
		r.counts = map[Unknown]int{}
	}
	r.counts[u]++
}

// attr counts an attribute of the name space whose names and prefix are given.
func (r *Report) attr(msg uint16, s *space, num uint16) {
	if r != nil {
		r.add(Unknown{messageName(msg), KindAttribute, s.name(num), uint32(num)})
	}
}

// flags counts each bit of left.
func (r *Report) flags(msg uint16, what string, left uint32) {
	if r == nil {
		return
	}
	for bit := uint32(1); left != 0; bit <<= 1 {
		if left&bit != 0 {
			r.add(Unknown{messageName(msg), KindFlag, what, bit})
			left &^= bit
		}
	}
}

func (r *Report) value(msg uint16, what string, v uint32) {
	if r != nil {
		r.add(Unknown{messageName(msg), KindValue, what, v})
	}
}

// Len is the number of different unknowns.
func (r *Report) Len() int { return len(r.counts) }

// Count is how often u was met.
func (r *Report) Count(u Unknown) int { return r.counts[u] }

// Add adds the counts of other to r.
func (r *Report) Add(other *Report) {
	for u, n := range other.counts {
		if r.counts == nil {
			r.counts = map[Unknown]int{}
		}
		r.counts[u] += n
	}
}

// Sorted lists the unknowns by message, kind, number and name.
func (r *Report) Sorted() []Unknown {
	return slices.SortedFunc(maps.Keys(r.counts), func(a, b Unknown) int {
		return cmp.Or(cmp.Compare(a.Message, b.Message), cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.Number, b.Number), cmp.Compare(a.Name, b.Name))
	})
}

// String has one line for each unknown, with its count; "" for none.
func (r *Report) String() string {
	var b strings.Builder
	for _, u := range r.Sorted() {
		fmt.Fprintf(&b, "%s: %d times\n", u, r.counts[u])
	}
	return b.String()
}
