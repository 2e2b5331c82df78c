package flat_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/flat"
)

// TestDiffIsThatOfAll compares what two versions differ in with a walk over both: after few
// changes and many, of versions that are neighbours and far apart.
func TestDiffIsThatOfAll(t *testing.T) {
	shared := 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		versions := []lookup.Table{flat.Engine{Direct4: 64, Direct6: 64, Differ: 80}.New()}
		for range 12 {
			ed := versions[r.IntN(len(versions))].Edit()
			for range 1 + r.IntN(1<<r.IntN(9)) {
				p := somePrefix(r)
				if r.IntN(3) == 0 {
					ed.Delete(p)
				} else {
					ed.Insert(p, uint32(r.IntN(4)))
				}
			}
			if other := versions[r.IntN(len(versions))].Edit().(*flat.Editor); r.IntN(3) == 0 {
				if ed.(*flat.Editor).Share(other) {
					shared++
				}
				versions = append(versions, other.Table())
			}
			versions = append(versions, ed.Table())
		}
		never := func(uint32) bool { return true }
		for _, a := range versions {
			for _, b := range versions {
				got := map[netip.Prefix]lookup.Change{}
				for c := range lookup.Diff(a, b, never) {
					if _, twice := got[c.Prefix]; twice {
						t.Fatalf("seed %d: %v comes twice", seed, c.Prefix)
					}
					got[c.Prefix] = c
				}
				n := 0
				for c := range lookup.DiffAll(a, b, never) {
					if n++; got[c.Prefix] != c {
						t.Fatalf("seed %d: %v: got %+v, want %+v", seed, c.Prefix, got[c.Prefix], c)
					}
				}
				if n != len(got) {
					t.Fatalf("seed %d: %d differ, where %d do", seed, len(got), n)
				}
			}
		}
	}
	if shared == 0 {
		t.Error("no tables share")
	}
}

func somePrefix(r *rand.Rand) netip.Prefix {
	if r.IntN(2) == 0 {
		a := netip.AddrFrom4([4]byte{10, byte(r.IntN(4)), byte(r.IntN(256)), byte(r.IntN(4))})
		return netip.PrefixFrom(a, 8+r.IntN(25)).Masked()
	}
	a := netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::%x", r.IntN(64), r.IntN(16)))
	return netip.PrefixFrom(a, 16+r.IntN(113)).Masked()
}

// TestDiffAsksAboutFew: one change in a large table costs a path.
func TestDiffAsksAboutFew(t *testing.T) {
	ed := flat.Engine{}.New().Edit()
	for i := range uint32(200_000) {
		ed.Insert(netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(i >> 16), byte(i >> 8), byte(i), 0}), 24), 1)
	}
	before := ed.Table()
	p := netip.MustParsePrefix("1.2.3.0/24")
	ed = before.Edit()
	ed.Insert(p, 2)
	after := ed.Table()
	asked := 0
	var found []lookup.Change
	for c := range lookup.Diff(before, after, func(uint32) bool { asked++; return true }) {
		found = append(found, c)
	}
	if len(found) != 1 || found[0] != (lookup.Change{Prefix: p, Old: 1, New: 2, Had: true, Has: true}) {
		t.Errorf("found %+v", found)
	}
	if asked > 100 {
		t.Errorf("asked about %d prefixes for one change", asked)
	}
	for range lookup.Diff(before, after, func(uint32) bool { return true }) {
		break
	}
}
