package rules_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/rules"
)

// nextLiteral is Next as the description of the walk has it (A11).
func nextLiteral(l *rules.List, from int, f *rules.Flow, p rules.Profile) (i int, deferred, noted bool) {
	for i = from; i < l.Len(); i++ {
		r := l.At(i)
		matched, failed, deferred := l.Match(i, f, p)
		noted = noted || r.NotesL3Table(f, failed)
		_, jumps := l.Target(i)
		if matched && r.Action != rules.ActNop && (r.Action != rules.ActGoto || jumps) {
			return i, deferred, noted
		}
	}
	return l.Len(), false, noted
}

func checkNext(t testing.TB, l *rules.List, from int, f *rules.Flow, p rules.Profile) int {
	t.Helper()
	i := l.Len()
	c := l.Seek(from)
	e, deferred, noted := l.Next(&c, f, p)
	if e != nil {
		i = l.Position(e)
	}
	if i2, deferred2, noted2 := nextLiteral(l, from, f, p); i != i2 || deferred != deferred2 || noted != noted2 {
		rule := func(i int) any {
			if i < l.Len() {
				return l.At(i).Rule
			}
			return "none"
		}
		t.Fatalf("flow %+v profile %+v from %d of %d: rule %d (%v) deferred %v noted %v, want %d (%v) %v %v",
			*f, p, from, l.Len(), i, rule(i), deferred, noted, i2, rule(i2), deferred2, noted2)
	}
	return i
}

// walkAll goes over all matches of a flow with one cursor, by jumps now and then, and
// starts elsewhere too.
func walkAll(t testing.TB, rnd *rand.Rand, l *rules.List, f *rules.Flow) {
	t.Helper()
	p := rules.Profile{L3MDevByDomain: chance(rnd, 50)}
	var c rules.Cursor
	for i := 0; i < l.Len(); {
		want := checkNext(t, l, i, f, p)
		e, deferred, noted := l.Next(&c, f, p)
		_, deferred2, noted2 := nextLiteral(l, i, f, p)
		switch {
		case (e != nil) != (want < l.Len()) || e != nil && e != l.At(want) || deferred != deferred2 || noted != noted2:
			t.Fatalf("flow %+v profile %+v from %d: %v %v %v, want rule %d %v %v", *f, p, i, e, deferred, noted, want, deferred2, noted2)
		case e == nil:
			if e, _, _ = l.Next(&c, f, p); e != nil {
				t.Fatalf("%v behind the last rule", e.Rule)
			}
			return
		}
		i = want + 1
		if j, ok := l.Target(want); ok && chance(rnd, 70) {
			l.Jump(&c, e)
			i = j
		}
	}
	for range 3 {
		checkNext(t, l, rnd.IntN(l.Len()+2), f, p)
	}
}

// similar changes a little about a rule, or nothing, so that lists hold rules that
// share most of their selectors.
func similar(rnd *rand.Rand, r rules.Rule) rules.Rule {
	for range rnd.IntN(3) {
		switch rnd.IntN(12) {
		case 0:
			r.Priority = uint32(rnd.IntN(9))
		case 1:
			r.HasUIDs, r.UIDs = true, rules.UIDRange{Start: uint32(rnd.IntN(8)), End: uint32(4 + rnd.IntN(8))}
		case 2:
			start := uint16(1 + rnd.IntN(60))
			r.Dport = rules.Ports(start, start+uint16(rnd.IntN(9)))
		case 3:
			r.Sport = rules.PortRange{Start: 49, End: 49, Mask: pick[uint16](rnd, 0, 1, 3, 0xffff)}
		case 4:
			r.Not = !r.Not
		case 5:
			r.Mark, r.MarkMask = uint32(rnd.IntN(3)), pick[uint32](rnd, 0, 1, 3, 0xff)
		case 6:
			r.Iif = pick(rnd, append(linkNames, "")...)
		case 7:
			r.Oif = pick(rnd, append(linkNames, "")...)
		case 8:
			r.L3MDev = !r.L3MDev
		case 9:
			r.FindSaddr = !r.FindSaddr
		case 10:
			r.Action, r.Goto = pick(rnd, rules.ActGoto, rules.ActNop, rules.ActLookup), uint32(rnd.IntN(12))
		case 11:
			r.From = randomPrefix(rnd, r.Family)
		}
	}
	return r
}

// randomList returns a list as a dump can have it, and worse: Load checks nothing.
func randomList(rnd *rand.Rand, f rules.Family, n int) *rules.List {
	percent := pick(rnd, 1, 5, 15, 40)
	var rs []rules.Rule
	for range n {
		if len(rs) == 0 || chance(rnd, 30) {
			q, _ := randomRequest(rnd, f, percent, true)
			rs = append(rs, q.Rule)
		} else {
			rs = append(rs, similar(rnd, pick(rnd, rs...)))
		}
	}
	return rules.Load(f, rs)
}

// near returns a flow that comes close to matching r.
func near(rnd *rand.Rand, r rules.Rule) rules.Flow {
	f := randomFlow(rnd, r.Family)
	if r.From.IsValid() && chance(rnd, 90) {
		f.Src = r.From.Addr()
	}
	if r.To.IsValid() && chance(rnd, 90) {
		f.Dst = r.To.Addr()
	}
	f.Mark, f.TOS, f.FlowLabel, f.TunID = r.Mark, max(r.TOS, r.DSCP<<2), r.FlowLabel, r.TunID
	f.IPProto, f.Sport, f.Dport, f.UID = r.IPProto, r.Sport.End, r.Dport.Start, r.UIDs.Start
	if r.Iif != "" {
		f.Iif, _ = links(r.Iif)
	}
	if r.Oif != "" {
		f.Oif, _ = links(r.Oif)
	}
	return f
}

// otherLinks is links after some changes.
func otherLinks(rnd *rand.Rand) func(string) (int32, bool) {
	change := rnd.IntN(4)
	return func(name string) (int32, bool) {
		switch {
		case change == 0 && name == "d0":
			return 0, false
		case change == 1 && name == "gone":
			return 4, true
		case change == 2 && name == "d0":
			return 2, true
		}
		return links(name)
	}
}

// editAndWalk checks Next while a list changes, and that old lists go on answering.
func editAndWalk(t testing.TB, rnd *rand.Rand, steps int) {
	f := pick(rnd, rules.Inet, rules.Inet6)
	l := randomList(rnd, f, rnd.IntN(8*rules.Scanned)).Bind(links)
	walks := func(l *rules.List) {
		for range 4 {
			flow := randomFlow(rnd, f)
			if l.Len() > 0 && chance(rnd, 60) {
				flow = near(rnd, l.At(rnd.IntN(l.Len())).Rule)
			}
			walkAll(t, rnd, l, &flow)
		}
	}
	olds := []*rules.List{l}
	for range steps {
		bind := otherLinks(rnd)
		switch rnd.IntN(8) {
		case 0:
			l = l.Bind(bind)
		case 1:
			name := pick(rnd, linkNames...)
			index, master := bind(name)
			next := l.Rebind(name, index, master)
			requireRebound(t, l, next, name, index, master)
			l = next
		case 2, 3, 4:
			if l.Len() > 0 {
				r := l.At(rnd.IntN(l.Len())).Rule
				if next, got, err := l.Delete(rules.RequestOf(r)); err == nil { // hostile rules can't be asked for
					requireDeleted(t, l, next, got)
					l = next
				}
			}
		default:
			q, _ := randomRequest(rnd, f, 10, false)
			r := q.Rule
			if l.Len() > 0 && chance(rnd, 80) {
				r = similar(rnd, l.At(rnd.IntN(l.Len())).Rule)
			}
			if next, _, err := l.Add(rules.RequestOf(r), rules.AddFlags{Excl: chance(rnd, 50), FreeTable: freeTable, Link: bind}); err == nil {
				l = next
			}
		}
		if err := rules.CheckIndex(l); err != nil {
			t.Fatal(err)
		}
		walks(l)
		olds = append(olds, l)
	}
	for range 3 {
		walks(pick(rnd, olds...))
	}
}

// requireDeleted checks that next is l without the first rule equal to gone.
func requireDeleted(t testing.TB, l, next *rules.List, gone rules.Rule) {
	t.Helper()
	want := snapshot(l)
	i := slices.Index(want, gone)
	if !slices.Equal(slices.Delete(want, i, i+1), snapshot(next)) {
		t.Fatalf("%v is not what was deleted", gone)
	}
}

// requireRebound checks that next is l with one name resolved anew.
func requireRebound(t testing.TB, l, next *rules.List, name string, index int32, master bool) {
	t.Helper()
	changed := false
	for i := range l.Len() {
		want := *l.At(i)
		if want.Iif == name {
			want.IifIndex, want.IifMaster = index, master
		}
		if want.Oif == name {
			want.OifIndex, want.OifMaster = index, master
		}
		changed = changed || want != *l.At(i)
		if want != *next.At(i) {
			t.Fatalf("rule %d: %+v, want %+v", i, next.At(i), want)
		}
	}
	if changed == (l == next) {
		t.Fatalf("changed %v, but the same list %v", changed, l == next)
	}
}

func TestNextIsTheLiteralWalk(t *testing.T) {
	rnd := randtest.Rand(t)
	for range randtest.Fewer(300) {
		editAndWalk(t, rnd, 20)
	}
}

func FuzzNext(f *testing.F) {
	for n := range 6 {
		f.Add(make([]byte, n*20))
	}
	f.Fuzz(func(t *testing.T, data []byte) { editAndWalk(t, newFuzzRand(data), 3) })
}

// Lists that grow from nothing and shrink to it have an index in between.
func TestNextWhileGrowingAndShrinking(t *testing.T) {
	rnd := randtest.Rand(t)
	for range randtest.Fewer(20) {
		f := pick(rnd, rules.Inet, rules.Inet6)
		l := rules.Initial(f)
		for l.Len() < 4*rules.Scanned {
			q, _ := randomRequest(rnd, f, 5, false)
			if next, _, err := l.Add(q, rules.AddFlags{FreeTable: freeTable, Link: links}); err == nil {
				l = next
			}
			flow := randomFlow(rnd, f)
			walkAll(t, rnd, l, &flow)
			require.NoError(t, rules.CheckIndex(l))
		}
		for l.Len() > 0 {
			next, _, err := l.Delete(rules.Request{Rule: rules.Rule{Family: f}})
			require.NoError(t, err)
			l = next
			flow := randomFlow(rnd, f)
			walkAll(t, rnd, l, &flow)
			require.NoError(t, rules.CheckIndex(l))
		}
	}
}

// Rules that only a range tells apart, disjoint, nested and equal ones.
func TestNextAmongRanges(t *testing.T) {
	rnd := randtest.Rand(t)
	for kind, width := range map[string]func() int{
		"disjoint": func() int { return 9 }, "nested": func() int { return rnd.IntN(3000) }, "equal": func() int { return 0 },
	} {
		var rs []rules.Rule
		for i := range 300 {
			start := 1 + 10*i
			if kind == "equal" {
				start = 5
			}
			r := lookupRule(rules.Inet, uint32(1+rnd.IntN(3)), uint32(i))
			r.Dport = rules.Ports(uint16(start), uint16(start+width()))
			if chance(rnd, 20) {
				r.HasUIDs, r.UIDs = true, rules.UIDRange{Start: uint32(rnd.IntN(5)), End: uint32(rnd.IntN(9))}
			}
			rs = append(rs, r)
		}
		l := rules.Load(rules.Inet, rs)
		require.NoError(t, rules.CheckIndex(l))
		for range 200 {
			f := rules.Flow{Family: rules.Inet, Dport: uint16(rnd.IntN(3100)), UID: uint32(rnd.IntN(9))}
			if kind == "equal" {
				f.Dport = pick[uint16](rnd, 4, 5, 6)
			}
			walkAll(t, rnd, l, &f)
		}
	}
}

// Lists of many pages, at all lengths on the way up and down.
func TestLongLists(t *testing.T) {
	rnd := randtest.Rand(t)
	n := uint32(randtest.Fewer(3000))
	l := rules.Load(rules.Inet, nil)
	var want []rules.Rule
	check := func() {
		t.Helper()
		require.NoError(t, rules.CheckIndex(l))
		require.True(t, slices.Equal(want, snapshot(l)), "%v, want %v", snapshot(l), want)
		f := rules.Flow{Family: rules.Inet, Mark: rnd.Uint32N(4)}
		for range 5 {
			checkNext(t, l, rnd.IntN(l.Len()+2), &f, rules.Profile{})
		}
	}
	for table := range n {
		r := lookupRule(rules.Inet, rnd.Uint32N(n/3), 300+table)
		r.Mark, r.MarkMask = rnd.Uint32N(8), 7
		l = mustAdd(t, l, r)
		at, _ := slices.BinarySearchFunc(want, r.Priority+1, func(r rules.Rule, p uint32) int { return int(r.Priority) - int(p) })
		want = slices.Insert(want, at, r)
		if table%97 == 0 {
			check()
		}
	}
	full, all := l, slices.Clone(want)
	for len(want) > 0 {
		i := rnd.IntN(min(len(want), 600)) // the front pages empty first
		next, gone, err := l.Delete(rules.RequestOf(want[i]))
		require.NoError(t, err)
		require.Equal(t, want[i], gone)
		l, want = next, slices.Delete(want, i, i+1)
		if len(want)%97 == 0 {
			check()
		}
	}
	assert.Equal(t, all, snapshot(full))
}

// Four billion rules later.
func TestAgesStartAnew(t *testing.T) {
	rnd := randtest.Rand(t)
	l := rules.WithAge(randomList(rnd, rules.Inet, 100).Bind(links), 1<<32-3)
	var want []rules.Rule
	for i := range 6 {
		at := 0
		for at < l.Len() && l.At(at).Priority <= 5 {
			at++
		}
		before := snapshot(l)
		l = mustAdd(t, l, lookupRule(rules.Inet, 5, 1000+uint32(i)))
		want = slices.Insert(before, at, lookupRule(rules.Inet, 5, 1000+uint32(i)))
		require.True(t, slices.Equal(want, snapshot(l)), "%v, want %v", snapshot(l), want)
		require.NoError(t, rules.CheckIndex(l))
		for range 20 {
			f := randomFlow(rnd, rules.Inet)
			walkAll(t, rnd, l, &f)
		}
	}
}

func TestNextOfEmptyLists(t *testing.T) {
	f := rules.Flow{Family: rules.Inet, L3Master: 3}
	for _, l := range []*rules.List{nil, {}, rules.Load(rules.Inet, nil)} {
		var c rules.Cursor
		e, deferred, noted := l.Next(&c, &f, rules.Profile{})
		assert.Equal(t, "<nil> false false", fmt.Sprint(e, deferred, noted))
		assert.Same(t, l, l.Rebind("d0", 2, false))
		assert.False(t, l.HasRealms())
	}
}

func TestHasRealms(t *testing.T) {
	r := lookupRule(rules.Inet, 5, 5)
	r.Realms = 7
	l := mustAdd(t, rules.Initial(rules.Inet), r)
	assert.True(t, l.HasRealms())
	l, _, err := l.Delete(rules.RequestOf(r))
	require.NoError(t, err)
	assert.False(t, l.HasRealms())
}

func TestNextDoesNotAllocate(t *testing.T) {
	rnd := randtest.Rand(t)
	for _, family := range []rules.Family{rules.Inet, rules.Inet6} {
		for _, n := range []int{rules.Scanned / 2, 300} {
			l := randomList(rnd, family, n).Bind(links)
			flows := make([]rules.Flow, 50)
			for i := range flows {
				flows[i] = near(rnd, l.At(rnd.IntN(n)).Rule)
			}
			require.Zero(t, testing.AllocsPerRun(5, func() {
				for i := range flows {
					var c rules.Cursor
					for {
						e, _, _ := l.Next(&c, &flows[i], rules.Profile{L3MDevByDomain: true})
						if e == nil {
							break
						}
						l.Position(e)
					}
				}
			}))
		}
	}
}
