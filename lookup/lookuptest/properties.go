package lookuptest

import (
	"math/rand/v2"
	"net/netip"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/linear"
)

// version is one published table beside the golden one that it must equal for ever.
type version struct {
	want, got lookup.Table
}

// equalsGolden is the property behind most others: whatever is inserted, deleted and
// published, in editors started from any version, every version ever published
// answers like the golden model.
func equalsGolden(engine lookup.Engine) func(*rapid.T) {
	return func(t *rapid.T) {
		versions := []version{{linear.Engine{}.New(), engine.New()}}
		want, got := versions[0].want.Edit(), versions[0].got.Edit()
		var known []netip.Prefix
		pick := func(t *rapid.T) netip.Prefix {
			if len(known) > 0 && rapid.Bool().Draw(t, "known") {
				return rapid.SampledFrom(known).Draw(t, "prefix")
			}
			p := prefixes().Draw(t, "prefix")
			known = append(known, p)
			return p
		}
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				p, i := pick(t), rapid.Uint32().Draw(t, "index")
				wantOld, wantReplaced := want.Insert(p, i)
				gotOld, gotReplaced := got.Insert(p, i)
				require.Equal(t, wantReplaced, gotReplaced, "Insert %v", p)
				require.Equal(t, wantOld, gotOld, "Insert %v", p)
			},
			"delete": func(t *rapid.T) {
				p := pick(t)
				wantOld, wantExisted := want.Delete(p)
				gotOld, gotExisted := got.Delete(p)
				require.Equal(t, wantExisted, gotExisted, "Delete %v", p)
				require.Equal(t, wantOld, gotOld, "Delete %v", p)
			},
			"publish": func(*rapid.T) {
				versions = append(versions, version{want.Table(), got.Table()})
			},
			"view": func(*rapid.T) {
				versions = append(versions, version{want.View(), got.View()})
			},
			"edit": func(t *rapid.T) {
				v := rapid.SampledFrom(versions).Draw(t, "version")
				want, got = v.want.Edit(), v.got.Edit()
			},
			"read": func(t *rapid.T) {
				sameReads(t, want, got, []netip.Prefix{pick(t)})
			},
		})
		versions = append(versions, version{want.Table(), got.Table()})
		for _, v := range versions {
			sameTables(t, v.want, v.got, known)
			for _, p := range known {
				chainIsCovering(t, v.got, p.Addr())
			}
		}
	}
}

// routes generates routes, some with the same prefix.
func routes() *rapid.Generator[[]route] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) route {
		return route{prefixes().Draw(t, "prefix"), rapid.Uint32Range(0, 3).Draw(t, "index")}
	}), 0, 60)
}

// buildIsInserts: Build equals inserting one by one, the later of two winning, into an
// empty table and with a version published in between.
func buildIsInserts(engine lookup.Engine) func(*rapid.T) {
	return func(t *rapid.T) {
		all := routes().Draw(t, "routes")
		e := engine.New().Edit()
		cut := rapid.IntRange(0, len(all)).Draw(t, "published after")
		for i, r := range all {
			if i == cut {
				e.Table()
			}
			e.Insert(r.prefix, r.index)
		}
		want := linear.Engine{}.Build(sequence(all))
		probes := probesOf(all)
		sameTables(t, want, e.Table(), probes)
		sameTables(t, want, engine.Build(sequence(all)), probes)
	}
}

// orderIsIrrelevant: distinct prefixes give the same table in whatever order they come.
func orderIsIrrelevant(engine lookup.Engine) func(*rapid.T) {
	return func(t *rapid.T) {
		all := collect(linear.Engine{}.Build(sequence(routes().Draw(t, "routes"))).All())
		shuffled := rapid.Permutation(all).Draw(t, "shuffled")
		sameTables(t, engine.Build(sequence(all)), engine.Build(sequence(shuffled)), probesOf(all))
	}
}

// deleteReversesInsert: what an editor inserts and takes back leaves no trace, in
// whatever order it does either.
func deleteReversesInsert(engine lookup.Engine) func(*rapid.T) {
	return func(t *rapid.T) {
		before := engine.Build(sequence(routes().Draw(t, "before")))
		added := routes().Draw(t, "added")
		e := before.Edit()
		undo := make(map[netip.Prefix]func())
		for _, r := range added {
			p := r.prefix.Masked()
			old, replaced := e.Insert(p, r.index)
			if undo[p] != nil {
				continue // only the first insertion replaced what was there before
			}
			undo[p] = func() {
				if replaced {
					e.Insert(p, old)
				} else {
					e.Delete(p)
				}
			}
		}
		order := make([]netip.Prefix, 0, len(undo))
		for _, r := range added {
			order = append(order, r.prefix.Masked())
		}
		for _, p := range rapid.Permutation(order).Draw(t, "order") {
			undo[p]()
		}
		sameTables(t, before, e.Table(), probesOf(added))
	}
}

// probesOf returns the prefixes of routes and an address inside each.
func probesOf(routes []route) []netip.Prefix {
	random := rand.New(rand.NewPCG(1, 2))
	probes := make([]netip.Prefix, 0, 2*len(routes))
	for _, r := range routes {
		inside := randomIn(r.prefix, random.Uint64)
		probes = append(probes, r.prefix, netip.PrefixFrom(inside, r.prefix.Bits()))
	}
	return probes
}
