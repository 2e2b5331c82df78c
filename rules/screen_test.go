package rules_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/rules"
)

func halves(a netip.Addr) [2]uint64 {
	b := a.As16()
	if a.Is4() || !a.IsValid() {
		return [2]uint64{0, uint64(binary.BigEndian.Uint32(b[12:]))}
	}
	return [2]uint64{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// checkScreen: where the screen says that a flow meets nothing, its walk comes by the
// rules without selectors and no others. It reports what the screen said.
func checkScreen(t *testing.T, l *rules.List, s *rules.Screen, c *rules.Class, f *rules.Flow, p rules.Profile) bool {
	t.Helper()
	f.L3Master = 0
	s.Classify(c, f)
	var at rules.Cursor
	meets := s.MayMeetFlow(&at, f)
	if got := s.MayMeet(c, halves(f.Src), halves(f.Dst)); got != meets {
		t.Fatalf("flow %+v meets %v by its class, %v alone", *f, got, meets)
	}
	if got := s.MayMeetAddresses(halves(f.Src), halves(f.Dst)); !s.ComparesOthers() && got != meets {
		t.Fatalf("flow %+v meets %v by its addresses, %v alone", *f, got, meets)
	}
	// Others of the class are told apart by their addresses.
	g := *f
	g.Src, g.Dst = f.Dst, f.Dst
	if got, want := s.MayMeet(c, halves(g.Src), halves(g.Dst)), s.MayMeetFlow(&rules.Cursor{}, &g); got != want {
		t.Fatalf("flow %+v meets %v by its class, %v alone", g, got, want)
	}
	want, _, _ := nextLiteral(l, 0, f, p)
	if e, _, _ := l.Next(&at, f, p); (e == nil) != (want == l.Len()) || e != nil && e != l.At(want) {
		t.Fatalf("flow %+v: the walk begins with %v, not with rule %d", *f, e, want)
	}
	open := s.Open()
	for at := 0; !meets; at++ {
		want, _, noted := nextLiteral(l, at, f, p)
		if noted {
			t.Fatalf("flow %+v: a rule noted an L3 table", *f)
		}
		for len(open) > 0 && open[0].Action == rules.ActGoto {
			if _, jumps := l.Target(l.Position(open[0])); jumps {
				break
			}
			open = open[1:]
		}
		if want == l.Len() {
			if len(open) > 0 {
				t.Fatalf("flow %+v: rule %v is left", *f, open[0].Rule)
			}
			break
		}
		if len(open) == 0 || open[0] != l.At(want) {
			t.Fatalf("flow %+v profile %+v: rule %d (%v), but the screen let the flow pass; open: %v", *f, p, want, l.At(want).Rule, open)
		}
		open, at = open[1:], want
	}
	return meets
}

func TestScreenLetsPassWhatMeetsNothing(t *testing.T) {
	rnd := rand.New(rand.NewPCG(randtest.Seed(t), 1))
	met := map[bool]int{}
	for range randtest.Fewer(400) {
		f := pick(rnd, rules.Inet, rules.Inet6)
		l := randomList(rnd, f, rnd.IntN(4*rules.Scanned)).Bind(links)
		for range 3 {
			p := rules.Profile{L3MDevByDomain: chance(rnd, 50)}
			s := l.Screen(p)
			var c rules.Class
			for range 30 {
				flow := randomFlow(rnd, f)
				if l.Len() > 0 && chance(rnd, 40) {
					flow = near(rnd, l.At(rnd.IntN(l.Len())).Rule)
				}
				met[checkScreen(t, l, s, &c, &flow, p)]++
			}
			if l.Len() > 0 { // the list of an edited index, too
				if next, _, err := l.Delete(rules.RequestOf(l.At(rnd.IntN(l.Len())).Rule)); err == nil {
					l = next
				}
			}
		}
	}
	assert.Greater(t, met[false], randtest.Fewer(1000), "few flows pass")
	assert.Greater(t, met[true], randtest.Fewer(1000), "few flows meet anything")
}
