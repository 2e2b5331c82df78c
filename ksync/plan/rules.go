package plan

import (
	"cmp"
	"maps"
	"slices"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// rulePlan is what happens to rules, in order.
type rulePlan struct{ adds, deletes []rules.Rule }

func (p *rulePlan) in(yield func(Op) bool) bool  { return p.each(Add, p.adds, yield) }
func (p *rulePlan) out(yield func(Op) bool) bool { return p.each(Delete, p.deletes, yield) }

func (p *rulePlan) each(v Verb, list []rules.Rule, yield func(Op) bool) bool {
	for i := range list {
		if !yield(Op{Verb: v, Kind: Rule, Rule: &list[i]}) {
			return false
		}
	}
	return true
}

// tablesLed are the tables to which rules lead.
type tablesLed struct {
	all   bool // an l3mdev rule leads to any
	table map[fib.Family]map[fib.TableID]bool
}

func (t *tablesLed) note(r *rules.Rule) {
	if r.L3MDev {
		t.all = true
	}
	if t.table == nil {
		t.table = map[fib.Family]map[fib.TableID]bool{fib.Inet: {}, fib.Inet6: {}}
	}
	if r.Action == rules.ActLookup {
		t.table[r.Family][fib.TableID(r.Table)] = true
	}
}

func (t *tablesLed) to(f fib.Family, id fib.TableID) bool { return t.all || t.table[f][id] }

// planRules compares rules priority by priority. A kernel appends a new rule to those
// of its priority (A1), so what is out of order is added anew and its old self deleted.
func (p *Plan) planRules(actual *Actual) {
	for i := range actual.Rules {
		p.led.note(&actual.Rules[i])
	}
	c := &p.Counts[Rule]
	for _, f := range p.want.Owner.families() {
		have := rules.Load(f, actual.Rules)
		byPriority := map[uint32]*[2][]rules.Rule{}
		at := func(n uint32) *[2][]rules.Rule {
			if byPriority[n] == nil {
				byPriority[n] = &[2][]rules.Rule{}
			}
			return byPriority[n]
		}
		for _, r := range have.All() {
			if p.want.Owner.OwnsRule(&r) {
				c.Owned++
				a := at(r.Priority)
				a[0] = append(a[0], r)
			}
		}
		for _, r := range rules.Load(f, p.want.Rules).All() {
			a := at(r.Priority)
			if slices.Contains(a[1], r) {
				continue // a second one never decides anything
			}
			c.Desired++
			a[1] = append(a[1], r)
		}
		var adds, deletes []rules.Rule
		for _, n := range slices.Sorted(maps.Keys(byPriority)) {
			a := byPriority[n]
			kept, doomed := keepRules(f, a[0], a[1])
			c.Kept += len(kept)
			adds = append(adds, a[1][len(kept):]...)
			for _, i := range doomed {
				deletes = append(deletes, a[0][i])
			}
		}
		c.Added += len(adds)
		c.Deleted += len(deletes)
		for i := range adds {
			p.leads.note(&adds[i])
		}
		for _, r := range slices.Concat(adds, deletes) {
			if r.Action == rules.ActGoto || r.SuppressIfGroup.Set {
				p.unproven("%v rule %v: it comes or goes", f, r)
			}
		}
		// A goto needs its target, and then skips what is between.
		slices.SortStableFunc(adds, func(a, b rules.Rule) int { return cmp.Compare(isGoto(&a), isGoto(&b)) })
		p.rules.adds = append(p.rules.adds, adds...)
		out := inOrderOut(f, have, adds, deletes)
		p.turned(f, deletes, out)
		p.rules.deletes = append(p.rules.deletes, out...)
	}
}

// turned tells of rules that cannot go from the last to the first, since a kernel would take
// another that agrees (A5).
func (p *Plan) turned(f fib.Family, deletes, out []rules.Rule) {
	others := func(list []rules.Rule) (out []rules.Rule) {
		for _, r := range list {
			if r.Action != rules.ActGoto {
				out = append(out, r)
			}
		}
		return out
	}
	down := others(deletes)
	slices.Reverse(down)
	for i, r := range others(out) {
		if r != down[i] {
			p.unproven("%v rule %v: it goes before one behind it, which cannot be named alone", f, r)
			return
		}
	}
}

func isGoto(r *rules.Rule) int {
	if r.Action == rules.ActGoto {
		return 1
	}
	return 0
}

// keepRules tells which rules of one priority stay. A deletion takes the first rule
// that agrees with it (A5); what would take one that stays cannot be deleted before
// that one has come again.
func keepRules(f fib.Family, have, want []rules.Rule) (kept, doomed []int) {
	same := func(a, b rules.Rule) bool { return a == b }
	for n := len(want); ; n-- {
		kept, doomed = keep(have, want, n, same)
		n = min(n, len(kept))
		list, ok := rules.Load(f, have), true
		at := make([]int, len(have)) // of what is left in list
		for i := range at {
			at[i] = i
		}
		for i := 0; i < len(doomed) && ok; i++ {
			next, r, err := list.Delete(rules.RequestOf(have[doomed[i]]))
			first := slices.IndexFunc(at, func(j int) bool { return have[j] == r })
			if ok = err == nil && at[first] == doomed[i]; ok {
				list, at = next, slices.Delete(at, first, first+1)
			}
		}
		if ok || n == 0 {
			return kept, doomed
		}
	}
}

// takes tells which of some rules of one priority a deletion of rule i takes: the first
// that agrees (A5).
func takes(f fib.Family, list []rules.Rule, i int) int {
	_, r, err := rules.Load(f, list).Delete(rules.RequestOf(list[i]))
	if err != nil {
		return -1
	}
	return slices.Index(list, r)
}

// inOrderOut puts deletions, given in list order, in the order in which they are done:
// gotos, then from the last rule to the first, as far as each takes the rule that is
// meant.
func inOrderOut(f fib.Family, have *rules.List, adds, deletes []rules.Rule) (out []rules.Rule) {
	left := slices.Clone(deletes)
	for len(left) > 0 {
		last := left[len(left)-1].Priority
		first, _ := slices.BinarySearchFunc(left, last, func(r rules.Rule, n uint32) int { return cmp.Compare(r.Priority, n) })
		out = append(out, outOfOne(f, have, adds, left[first:])...)
		left = left[:first]
	}
	slices.SortStableFunc(out, func(a, b rules.Rule) int { return cmp.Compare(isGoto(&b), isGoto(&a)) })
	return out
}

// outOfOne is inOrderOut for rules of one priority.
func outOfOne(f fib.Family, have *rules.List, adds, deletes []rules.Rule) (out []rules.Rule) {
	var list []rules.Rule
	for _, r := range have.All() {
		if r.Priority == deletes[0].Priority {
			list = append(list, r)
		}
	}
	for _, r := range adds {
		if r.Priority == deletes[0].Priority {
			list = append(list, r)
		}
	}
	left := slices.Clone(deletes)
	for len(left) > 0 {
		// The first always takes itself, or its twin.
		choice, at := 0, slices.Index(list, left[0])
		for i := len(left) - 1; i > 0; i-- {
			// Of twins the one to go is behind as many as stay or go later.
			twins, place := 0, -1
			for j := range i {
				if left[j] == left[i] {
					twins++
				}
			}
			for j := range list {
				if list[j] == left[i] {
					if place = j; twins == 0 {
						break
					}
					twins--
				}
			}
			if place >= 0 && takes(f, list, place) == place {
				choice, at = i, place
				break
			}
		}
		out = append(out, left[choice])
		left = slices.Delete(left, choice, choice+1)
		if at >= 0 {
			list = slices.Delete(list, at, at+1)
		}
	}
	return out
}
