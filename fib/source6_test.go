package fib_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/randtest"
)

// sourceModel selects a source address the other way round: two candidates at a
// time, rule after rule (D41).
type sourceModel struct {
	st  *fib.State
	dst netip.Addr
	out int32
}

func (m *sourceModel) link(i int32) *fib.Link {
	for k := range m.st.Links {
		if m.st.Links[k].Index == i {
			return &m.st.Links[k]
		}
	}
	return nil
}

func (m *sourceModel) domain(i int32) int32 {
	if l := m.link(i); l != nil && l.Kind == "vrf" {
		return i
	} else if l != nil && l.Master != 0 && m.link(l.Master).Kind == "vrf" {
		return l.Master
	}
	return 0
}

func in(p string, a netip.Addr) bool { return pfx6(p).Contains(a) }

func scope(a netip.Addr) int {
	switch {
	case a == addr6("::"):
		return -1
	case in("ff00::/8", a):
		return int(a.As16()[1] & 15)
	case in("fe80::/10", a), a == addr6("::1"):
		return 2
	case in("fec0::/10", a):
		return 5
	}
	return 14
}

func (m *sourceModel) label(a netip.Addr, link int32) int {
	best, label := -1, -1
	for _, l := range m.st.AddrLabels {
		n := 2 * l.Prefix.Bits()
		if l.Link != 0 {
			n++
		}
		if (l.Link == 0 || l.Link == link) && l.Prefix.Contains(a) && n > best {
			best, label = n, int(l.Label)
		}
	}
	return label
}

func common(a, b netip.Addr) int {
	for n := 128; ; n-- {
		p, _ := a.Prefix(n)
		if p.Contains(b) {
			return n
		}
	}
}

// value is how candidate a does by one rule; more is better.
func (m *sourceModel) value(rule int, a *fib.Address) int {
	l, all := m.link(a.Link), &m.st.Sysctls.All6
	is := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	switch rule {
	case 1:
		return is(a.Local == m.dst)
	case 2:
		if s := scope(a.Local); s >= scope(m.dst) {
			return -s
		} else {
			return s - 128
		}
	case 3:
		used := (all.OptimisticDAD || l.Conf6.OptimisticDAD) && (all.UseOptimistic || l.Conf6.UseOptimistic)
		embedded := a.Local == addr6("::1") || in("::ffff:0:0/96", a.Local) || in("::/96", a.Local)
		return is(embedded || a.Flags&fib.AddrDeprecated == 0 && (used || a.Flags&fib.AddrOptimistic == 0))
	case 5:
		return is(a.Link == m.out)
	case 6:
		return is(m.label(a.Local, a.Link) == m.label(m.dst, m.out))
	case 7:
		return is((a.Flags&fib.AddrTemporary != 0) == (l.Conf6.UseTempaddr >= 2))
	case 8:
		return is(in("2001:10::/28", a.Local) == in("2001:10::/28", m.dst))
	case 9:
		return min(common(a.Local, m.dst), a.Prefix.Bits())
	case 10:
		return is(a.Flags&fib.AddrOptimistic == 0)
	}
	return 0
}

func (m *sourceModel) better(a, b *fib.Address) bool {
	for rule := 1; rule <= 10; rule++ {
		if x, y := m.value(rule, a), m.value(rule, b); x != y {
			return x > y
		}
	}
	return false
}

func (m *sourceModel) choose() netip.Addr {
	var best *fib.Address
	asked := 0
	consider := func(link int32) {
		for i := range m.st.Addresses {
			a := &m.st.Addresses[i]
			unusable := a.Flags&fib.AddrTentative != 0 && a.Flags&fib.AddrOptimistic == 0
			if a.Link != link || unusable {
				continue
			}
			if asked++; best == nil || m.better(a, best) {
				best = a
			}
		}
	}
	if in("ff00::/8", m.dst) || scope(m.dst) <= 2 || m.link(m.out).Conf6.UseOifAddrsOnly {
		consider(m.out)
	} else {
		if m.domain(m.out) != 0 {
			consider(m.out)
			consider(m.domain(m.out))
		}
		alone := asked == 1 // L19
		for _, l := range m.st.Links {
			if !alone && m.domain(l.Index) == m.domain(m.out) {
				consider(l.Index)
			}
		}
	}
	if best == nil {
		return netip.Addr{}
	}
	return best.Local
}

// sourceState is a host with many addresses of all kinds and a route to
// everywhere through each link but lo, chosen by oif.
func sourceState(g stateGen) *fib.State {
	st := host()
	st.Routes = nil
	if g.one(2) {
		vrf(st)
	}
	st.Addresses, st.Routes = nil, nil
	all := &st.Sysctls.All6
	all.OptimisticDAD, all.UseOptimistic = g.one(2), g.one(3)
	d2 := fib.Link{Index: 9, Name: "d2", Flags: fib.LinkUp, MTU: 1500}
	d2.Master = st.Links[d0-1].Master
	st.Links = append(st.Links, d2)
	g.Shuffle(len(st.Links), func(i, j int) { st.Links[i], st.Links[j] = st.Links[j], st.Links[i] })
	for i := range st.Links {
		l := &st.Links[i]
		l.Conf6 = fib.Conf6{UseOifAddrsOnly: g.one(4), OptimisticDAD: g.one(2), UseOptimistic: g.one(3), UseTempaddr: int32(g.IntN(3))}
		for range g.IntN(4) {
			a := sourceAddr(g)
			flags := fib.AddrFlags(0)
			for _, f := range []fib.AddrFlags{fib.AddrDeprecated, fib.AddrOptimistic, fib.AddrTentative, fib.AddrTemporary} {
				if g.one(4) {
					flags |= f
				}
			}
			st.Addresses = append(st.Addresses, fib.Address{Link: l.Index, Local: a, Prefix: netip.PrefixFrom(a, pick(g, 128, 64, 48, 10)), Flags: flags})
		}
		st.Routes = append(st.Routes, route6("::/0", leg(on(l.Index)), table(fib.TableLocal)))
		if g.one(3) {
			st.AddrLabels = append(st.AddrLabels, fib.AddrLabel{Prefix: pick(g, pfx6("2001:db8::/32"), pfx6("fc00::/7"), pfx6("::/0")), Link: pick(g, 0, l.Index), Label: uint32(g.IntN(8))})
		}
	}
	return st
}

func sourceAddr(g stateGen) netip.Addr {
	a := pick(g, addr6("2001:db8::"), addr6("2001:db8:8000::"), addr6("fc00::"), addr6("fe80::"), addr6("fec0::"), addr6("2001:10::"),
		addr6("2002::"), addr6("::ffff:10.0.0.0"), addr6("::")).As16()
	a[15] = byte(1 + g.IntN(4))
	a[6] ^= byte(g.IntN(2)) * byte(g.IntN(256)) * (a[0] & 1)
	return netip.AddrFrom16(a)
}

func TestSourceSelection6EqualsPairwiseComparison(t *testing.T) {
	conformance.CoversEngine(t, "D41", "K30", "L19")
	seed := randtest.Seed(t)
	none, borrowed := 0, 0
	for i := range 400 {
		g := stateGen{rand.New(rand.NewPCG(seed, uint64(i)))}
		st := sourceState(g)
		s := loaded(t, st)
		for range 12 {
			dst := pick(g, sourceAddr(g), sourceAddr(g), addr6("ff02::1"), addr6("ff0e::5"), addr6("::"))
			oif := st.Links[g.IntN(len(st.Links))].Index
			f := fib.Flow{Dst: dst, Oif: oif}
			d := s.Resolve(f)
			if d.Errno != 0 {
				continue // strict through a VRF
			}
			want := (&sourceModel{st, dst, d.NexthopLink}).choose()
			require.Equal(t, want, d.Source, "state %d, dst %v through %d: %+v", i, dst, d.NexthopLink, st.Addresses)
			if want.IsValid() {
				story := 0
				for _, x := range s.Explain(f).Steps {
					if x.Kind == fib.StepSource && x.Taken {
						story++
						assert.Equal(t, want, x.Addr)
					}
				}
				require.Equal(t, 1, story, "the story must name one source")
			}
			if !want.IsValid() {
				none++
			} else if own, _ := s.Link(d.NexthopLink); own.Index != ownerOf(st, want) {
				borrowed++
			}
		}
	}
	assert.Positive(t, none, "no flow without a source")
	assert.Positive(t, borrowed, "no source of another link")
}

func ownerOf(st *fib.State, a netip.Addr) int32 {
	for _, x := range st.Addresses {
		if x.Local == a {
			return x.Link
		}
	}
	return 0
}

// Of 10,000 addresses most cannot be the source, which must not cost what a choice among
// them does.
func BenchmarkSource6(b *testing.B) {
	for _, link := range []int32{lo, d0} {
		st := host()
		for i := range 10_000 {
			a := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 5, 14: byte(i >> 8), 15: byte(i)})
			st.Addresses = append(st.Addresses, fib.Address{Link: link, Local: a, Prefix: netip.PrefixFrom(a, 128), ValidLft: 1<<32 - 1, PreferredLft: 1<<32 - 1})
		}
		st.Routes = append(st.Routes, route6("::/0", leg(gw0)))
		s := loaded(b, st)
		b.Run(map[int32]string{lo: "elsewhere", d0: "same link"}[link], func(b *testing.B) {
			for b.Loop() {
				s.Resolve(nine)
			}
		})
	}
}
