package rules_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/errno"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/rules"
)

// freeTable is a namespace in which tables 1 to 4 exist.
func freeTable() (uint32, bool) { return 5, true }

// thinOut turns a request into one that may name fewer attributes.
func thinOut(rnd *rand.Rand, q rules.Request, a attributes) (rules.Request, attributes) {
	drop := func(name string, clear func()) {
		if a[name] != "" && chance(rnd, 30) {
			delete(a, name)
			clear()
		}
	}
	drop("table", func() { q.Table = 0 })
	drop("priority", func() { q.Priority, q.Present = 0, q.Present&^rules.AttrPriority })
	drop("protocol", func() { q.Protocol = 0 })
	drop("from", func() { q.From = rules.Rule{}.From })
	drop("mark", func() { q.Mark = 0 })
	drop("iif", func() { q.Iif = "" })
	drop("dscpmask", func() { q.DSCPMask, q.Present = 0, q.Present&^rules.AttrDSCPMask })
	drop("suppresslength", func() { q.SuppressPrefixLength = rules.Opt32{} })
	if q.Action != rules.ActGoto && chance(rnd, 30) {
		q.Action, a["action"] = rules.ActUnspec, "0"
	}
	return q, a
}

// perturb changes one attribute of a request, so that lists hold rules which
// differ in just that.
func perturb(rnd *rand.Rand, q rules.Request, a attributes) (rules.Request, attributes) {
	a = maps.Clone(a)
	set := func(name string, value any) { a[name] = fmt.Sprint(value) }
	switch rnd.IntN(12) {
	case 0:
		q.HasUIDs, q.UIDs = true, rules.UIDRange{Start: 1, End: uint32(1 + rnd.IntN(3))}
		set("uids", q.UIDs)
	case 1:
		q.Mark++
		set("mark", q.Mark)
	case 2:
		q.Dport, q.Present = rules.PortRange{Start: 1, End: uint16(2 + rnd.IntN(3))}, q.Present|rules.AttrDport
		q.Present &^= rules.AttrDportMask
		delete(a, "dportmask")
		set("dport", fmt.Sprint(q.Dport.Start, "-", q.Dport.End))
	case 3:
		q.Sport, q.Present = rules.PortRange{Start: 1, End: 1, Mask: pick[uint16](rnd, 1, 3, 5)}, q.Present|rules.AttrSport|rules.AttrSportMask
		set("sport", "1-1")
		set("sportmask", q.Sport.Mask)
	case 4:
		q.IPProto++
		set("ipproto", q.IPProto)
	case 5:
		q.Protocol++
		set("protocol", q.Protocol)
	case 6:
		q.Oif = pick(rnd, linkNames...)
		set("oif", q.Oif)
	case 7:
		if q.Not = true; a["not"] == "" {
			set("not", 1)
		}
	case 8:
		if q.Action == rules.ActGoto {
			q.Goto, q.Present = q.Goto+1, q.Present|rules.AttrGoto
			set("goto", q.Goto)
		}
	case 9:
		q.TunID++
		set("tunid", q.TunID)
	case 10:
		q.SuppressPrefixLength = rules.Some(uint32(rnd.IntN(3)))
		set("suppresslength", q.SuppressPrefixLength.V)
	case 11:
		q.MarkMask, q.Present = uint32(rnd.IntN(3)), q.Present|rules.AttrMarkMask
		set("markmask", q.MarkMask)
	}
	return q, a
}

// editBoth applies random requests to a list and the model and compares answers,
// positions and goto targets after each. Old lists must not change.
func editBoth(t *testing.T, rnd *rand.Rand, steps int) {
	f := pick(rnd, rules.Inet, rules.Inet6)
	percent := pick(rnd, 1, 3, 10)
	l, m := rules.Initial(f), newModel(f)
	var lastQ rules.Request
	var lastA attributes
	for range steps {
		q, a := randomRequest(rnd, f, percent, false)
		if lastA != nil && chance(rnd, 50) {
			q, a = perturb(rnd, lastQ, lastA)
		}
		lastQ, lastA = q, maps.Clone(a)
		if q.Table == 0 && q.Action == rules.ActLookup && !q.L3MDev {
			continue
		}
		before, copied := l, snapshot(l)
		var at int
		var want errno.Errno
		var got rules.Rule
		var err error
		add := chance(rnd, 60)
		if add {
			excl := chance(rnd, 70)
			at, want = m.add(a, excl)
			l, got, err = l.Add(q, rules.AddFlags{Excl: excl})
		} else {
			q, a = thinOut(rnd, q, a)
			var removed rules.Rule
			at, want = m.remove(a)
			if want == 0 {
				removed = l.At(at).Rule
			}
			l, got, err = l.Delete(q)
			require.Equal(t, removed, got, "delete %v", q)
		}
		if want != 0 {
			requireErrno(t, want, err, "add=%v %v present %b", add, q, q.Present)
			require.Same(t, before, l, "a refused request must change nothing")
		} else {
			require.NoError(t, err, "add=%v %v", add, q)
			if add {
				require.Equal(t, got, l.At(at).Rule)
			}
		}
		if !slices.Equal(copied, snapshot(before)) {
			t.Fatalf("an old list changed: %v, was %v", snapshot(before), copied)
		}
		compareWithModel(t, l, m)
	}
}

func snapshot(l *rules.List) (rs []rules.Rule) {
	for _, r := range l.All() {
		rs = append(rs, r)
	}
	return rs
}

func compareWithModel(t *testing.T, l *rules.List, m *model) {
	t.Helper()
	require.Equal(t, len(m.list), l.Len())
	for i, r := range l.All() {
		if got := attributesOf(r); !maps.Equal(m.list[i], got) {
			t.Fatalf("rule %d: got %v, want %v", i, got, m.list[i])
		}
		j, ok := l.Target(i)
		if want := m.target(i); ok != (want >= 0) || ok && (j != want || j <= i) {
			t.Fatalf("rule %d %v: target %d %v, want %d", i, r, j, ok, want)
		}
	}
}

func TestEditsEqualTheModel(t *testing.T) {
	rnd := randtest.Rand(t)
	for range randtest.Fewer(250) {
		editBoth(t, rnd, 40)
	}
}

func FuzzEdits(f *testing.F) {
	f.Add([]byte{})
	f.Add(binary.BigEndian.AppendUint64(nil, 0xfedcba9876543210))
	f.Fuzz(func(t *testing.T, data []byte) { editBoth(t, newFuzzRand(data), 30) })
}

func TestHostileRequestsAreRefusedOrStored(t *testing.T) {
	rnd := randtest.Rand(t)
	refused := map[errno.Errno]int{}
	for range randtest.Fewer(10_000) {
		f := pick(rnd, rules.Inet, rules.Inet6)
		q, _ := randomRequest(rnd, f, 20, true)
		l := rules.Initial(f)
		next, r, err := l.Add(q, rules.AddFlags{Excl: true, FreeTable: freeTable})
		if err != nil {
			e, ok := errno.Of(err)
			require.True(t, ok)
			require.Contains(t, []errno.Errno{errno.EINVAL, errno.ERANGE}, e, "%v", err)
			refused[e]++
			continue
		}
		require.Equal(t, l.Len()+1, next.Len())
		_ = r.String()
		// What is stored can be asked for again, found and removed.
		again, r2, err := l.Add(rules.RequestOf(r), rules.AddFlags{FreeTable: freeTable})
		require.NoError(t, err, "%v", r)
		if r.Mark == 0 || r.MarkMask != 0 {
			require.Equal(t, r, r2)
			require.True(t, next.Equal(again))
		}
		_, _, err = next.Add(rules.RequestOf(r2), rules.AddFlags{Excl: true, FreeTable: freeTable})
		if r == r2 {
			requireErrno(t, errno.EEXIST, err, "%v", r)
		}
		gone, r3, err := again.Delete(rules.RequestOf(r2))
		require.NoError(t, err, "%v", r2)
		if r.Action != rules.ActUnspec { // which agrees with any action
			require.Equal(t, r2, r3)
			require.True(t, gone.IsInitial())
		}
	}
	assert.NotZero(t, refused[errno.EINVAL])
	assert.NotZero(t, refused[errno.ERANGE])
}

func TestInitialRules(t *testing.T) {
	for f, want := range map[rules.Family][]string{
		rules.Inet:  {"0:\tfrom all lookup local", "32766:\tfrom all lookup main", "32767:\tfrom all lookup default"},
		rules.Inet6: {"0:\tfrom all lookup local", "32766:\tfrom all lookup main"},
	} {
		l := rules.Initial(f)
		var got []string
		for _, r := range l.All() {
			got = append(got, r.String())
		}
		assert.Equal(t, want, got)
		assert.True(t, l.IsInitial())
		next, _, err := l.Delete(rules.RequestOf(l.At(1).Rule))
		require.NoError(t, err)
		assert.False(t, next.IsInitial())
		assert.True(t, l.IsInitial())
	}
}

func TestEmptyLists(t *testing.T) {
	for _, l := range []*rules.List{nil, {}} {
		assert.Zero(t, l.Len())
		assert.False(t, l.IsInitial())
		assert.False(t, l.RequiresDissection())
		assert.True(t, l.Equal(nil))
		assert.Same(t, l, l.Bind(links))
		for range l.All() {
			t.Error("an empty list yields nothing")
		}
		_, _, err := l.Delete(rules.RequestOf(lookupRule(rules.Inet, 5, 5)))
		requireErrno(t, errno.ENOENT, err)
		next := mustAdd(t, l, lookupRule(rules.Inet, 5, 5))
		assert.Equal(t, rules.Inet, next.Family())
		_, _, err = next.Add(rules.RequestOf(lookupRule(rules.Inet6, 5, 5)), rules.AddFlags{})
		requireErrno(t, errno.EAFNOSUPPORT, err)
		_, _, err = l.Add(rules.RequestOf(lookupRule(0, 5, 5)), rules.AddFlags{})
		requireErrno(t, errno.EAFNOSUPPORT, err)
	}
}

func TestLoadKeepsDumpOrder(t *testing.T) {
	rnd := randtest.Rand(t)
	var rs []rules.Rule
	for range 500 {
		q, _ := randomRequest(rnd, rules.Inet, 10, true)
		rs = append(rs, q.Rule)
	}
	slices.SortStableFunc(rs, func(a, b rules.Rule) int { return int(a.Priority) - int(b.Priority) })
	other := lookupRule(rules.Inet6, 1, 1)
	l := rules.Load(rules.Inet, append(rs, other))
	require.Equal(t, len(rs), l.Len())
	for i := range rs {
		require.Equal(t, rs[i].Priority, l.At(i).Priority)
		require.Equal(t, rs[i].Iif, l.At(i).Iif)
	}
	assert.True(t, l.Equal(rules.Load(rules.Inet, snapshot(l))), "normalising twice is normalising once")
}

func TestDefaultPriority(t *testing.T) {
	request := rules.Request{Rule: rules.Rule{Family: rules.Inet, Action: rules.ActLookup, Table: 5}}
	l := rules.Initial(rules.Inet)
	for _, want := range []uint32{32765, 32764, 32763} {
		next, r, err := l.Add(request, rules.AddFlags{Excl: true})
		require.NoError(t, err)
		assert.Equal(t, want, r.Priority)
		l = next
	}
	for _, rs := range [][]rules.Rule{nil, {lookupRule(rules.Inet, 9, 1)}, {lookupRule(rules.Inet, 0, 1), lookupRule(rules.Inet, 0, 2)}} {
		_, r, err := rules.Load(rules.Inet, rs).Add(request, rules.AddFlags{})
		require.NoError(t, err)
		assert.Zero(t, r.Priority)
	}
}

func TestIPv4TableZeroTakesAFreeTable(t *testing.T) {
	l := rules.Initial(rules.Inet)
	q := rules.RequestOf(lookupRule(rules.Inet, 5, 0))
	_, r, err := l.Add(q, rules.AddFlags{FreeTable: freeTable})
	require.NoError(t, err)
	assert.EqualValues(t, 5, r.Table)
	_, _, err = l.Add(q, rules.AddFlags{})
	requireErrno(t, errno.ENOBUFS, err)
	_, _, err = rules.Initial(rules.Inet6).Add(rules.RequestOf(lookupRule(rules.Inet6, 5, 0)), rules.AddFlags{FreeTable: freeTable})
	requireErrno(t, errno.EINVAL, err)
	nop := rules.Rule{Family: rules.Inet, Priority: 5, Action: rules.ActNop}
	_, r, err = l.Add(rules.RequestOf(nop), rules.AddFlags{})
	require.NoError(t, err)
	assert.Zero(t, r.Table)
}

func TestGotoResolvesToTheFirstOfItsPriority(t *testing.T) {
	l := mustAdd(t, rules.Initial(rules.Inet), rules.Rule{Family: rules.Inet, Priority: 10, Action: rules.ActGoto, Goto: 100})
	target := func() any {
		j, ok := l.Target(1)
		if !ok {
			return nil
		}
		return l.At(j).Table
	}
	assert.Nil(t, target())
	l = mustAdd(t, l, lookupRule(rules.Inet, 101, 1))
	assert.Nil(t, target())
	l = mustAdd(t, l, lookupRule(rules.Inet, 100, 2))
	l = mustAdd(t, l, lookupRule(rules.Inet, 100, 3))
	assert.EqualValues(t, 2, target())
	l, _, err := l.Delete(rules.RequestOf(lookupRule(rules.Inet, 100, 2)))
	require.NoError(t, err)
	assert.EqualValues(t, 3, target())
	_, ok := l.Target(0)
	assert.False(t, ok, "rule 0 is no goto")

	backward := rules.Load(rules.Inet, []rules.Rule{
		lookupRule(rules.Inet, 5, 1), {Family: rules.Inet, Priority: 5, Action: rules.ActGoto, Goto: 5},
	})
	_, ok = backward.Target(1)
	assert.False(t, ok, "a loaded backward jump must not make a walk endless")
}

func TestBind(t *testing.T) {
	iif := rules.Rule{Family: rules.Inet, Priority: 1, Action: rules.ActNop, Iif: "d0", Oif: "gone"}
	l := mustAdd(t, rules.Initial(rules.Inet), iif)
	require.True(t, l.At(1).IifDetached(), "names are detached until bound")
	bound := l.Bind(links)
	require.NotSame(t, l, bound)
	assert.True(t, l.At(1).IifDetached(), "the old list keeps its bindings")
	assert.False(t, bound.At(1).IifDetached())
	assert.True(t, bound.At(1).OifDetached())
	assert.EqualValues(t, 2, bound.At(1).IifIndex)
	assert.Same(t, bound, bound.Bind(links), "nothing changed")
	assert.True(t, l.Equal(bound))
	assert.Same(t, l.At(0), bound.At(0), "rules without names are shared")
	toMaster := bound.Bind(func(string) (int32, bool) { return 2, true })
	assert.True(t, toMaster.At(1).IifMaster)
	assert.False(t, bound.Bind(func(string) (int32, bool) { return 0, false }).At(0).IifDetached(), "no name is not detached")
}

func TestRequiresDissection(t *testing.T) {
	for want, rs := range map[bool][]rules.Rule{
		true:  {{IPProto: 6}, {Sport: rules.Port(1)}, {Dport: rules.Ports(1, 2), Iif: "d0"}, {IPProto: 6, Iif: "gone", Not: true}},
		false: {{}, {IPProto: 6, Iif: "lo"}, {Iif: "d0"}, {TOS: 4}},
	} {
		for _, r := range rs {
			r.Family = rules.Inet
			assert.Equal(t, want, rules.Load(rules.Inet, []rules.Rule{r}).RequiresDissection(), "%v", r)
		}
	}
}
