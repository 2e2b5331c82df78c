package fib_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/ksync"
	"github.com/fibula-net/fibula/rules"
)

// agree asks both for f. The kernel's answer must be ours, or if that is undetermined
// among the possible ones.
func (w *twin) agree(f fib.Flow) {
	w.t.Helper()
	q, err := ksync.OpenQuerier(ksync.Named(w.ns.Name()))
	require.NoError(w.t, err)
	defer q.Close()
	reply, errno, err := q.Get(f, ksync.LookupTable)
	require.NoError(w.t, err)
	match, matchErrno, err := q.Get(f, ksync.LookupTable|ksync.FibMatch)
	require.NoError(w.t, err)
	s := w.f.Snapshot()
	var said []any
	for _, m := range s.MatchCandidates(f) {
		stored := m.Decision
		if !m.Found && stored.Errno == 0 {
			stored.Errno = fib.EHOSTUNREACH
		}
		d := append(ksync.Differences(f, m.Decision, m.Route.Metrics, &reply, errno),
			ksync.MatchDifferences(f, stored, m.Route, m.Found, &match, matchErrno)...)
		if len(d) == 0 {
			return
		}
		said = append(said, d)
	}
	w.t.Errorf("%v: story:\n%s\n%v", f, lines(w.story), said)
}

// certain is agree where nothing may be undetermined.
func (w *twin) certain(f fib.Flow) {
	w.t.Helper()
	w.agree(f)
	require.Zero(w.t, w.f.Snapshot().Resolve(f).Undetermined, "%v", f)
}

// Operations after which answers depend on more than the tables show.
var answerCases = []struct {
	name string
	do   func(w *twin)
}{
	{"D8 the last plain route takes source-specific ones along while there are longer prefixes", func(w *twin) {
		plain, longer := unicast("2001:db8:9::/48", "2001:db8:1::2"), unicast("2001:db8:9:9::/64", "2001:db8:1::2")
		special := with(unicast("2001:db8:9::/48", "2001:db8:2::2"), from("2001:db8:1::/64"))
		flow := fib.Flow{Dst: addrOf("2001:db8:9::1"), Src: addrOf("2001:db8:1::1")}
		w.route(special, fib.OpAdd)
		w.route(plain, fib.OpAdd)
		w.unroute(plain)
		w.certain(flow)
		w.route(plain, fib.OpAdd)
		w.route(longer, fib.OpAdd)
		w.unroute(plain)
		w.certain(flow)
		other := unicast("2001:db8:9:8::/64", "2001:db8:1::2")
		w.route(other, fib.OpAdd)
		w.unroute(longer)
		w.certain(flow)
		w.unroute(other)
		w.certain(flow) // found again
		w.route(longer, fib.OpAdd)
		w.certain(flow) // and a new one changes nothing
	}},
	{"D8 so does a source-specific route that is deleted", func(w *twin) {
		longer := unicast("2001:db8:9:9::/64", "2001:db8:1::2")
		special := with(unicast("2001:db8:9::/48", "2001:db8:2::2"), from("2001:db8:1::/64"))
		other := with(unicast("2001:db8:9::/48", "2001:db8:2::2"), from("2001:db8:2::/64"))
		flow := fib.Flow{Dst: addrOf("2001:db8:9::1"), Src: addrOf("2001:db8:1::1")}
		w.route(longer, fib.OpAdd)
		w.route(special, fib.OpAdd)
		w.route(other, fib.OpAdd)
		w.certain(flow)
		w.unroute(other)
		w.agree(flow)
		w.route(other, fib.OpAdd)
		w.certain(flow)
		w.unroute(special)
		w.route(special, fib.OpAdd)
		w.unroute(other)
		w.agree(flow)
	}},
	{"B13 a route with a blackhole object keeps its type", func(w *twin) {
		w.addObject(fib.NexthopObject{ID: 7, Family: fib.Inet, Blackhole: true}, fib.OpAdd)
		w.addRule(rules.RequestOf(rules.Rule{Family: fib.Inet, Priority: 40000, Action: rules.ActLookup, Table: 50}))
		w.route(with(unicast("0.0.0.0/0", "10.1.0.2"), inTable(50)), fib.OpAdd)
		for t := fib.TypeUnicast; t <= fib.TypeThrow; t++ {
			w.route(with(by(unicast("10.9.0.0/16"), 7), typed(t)), fib.OpReplace)
			w.certain(fib.Flow{Dst: addrOf("10.9.0.1")})
		}
	}},
	{"D13 of IPv6 it has none", func(w *twin) {
		w.addObject(fib.NexthopObject{ID: 7, Family: fib.Inet6, Blackhole: true}, fib.OpAdd)
		w.addRule(rules.RequestOf(rules.Rule{Family: fib.Inet6, Priority: 40000, Action: rules.ActLookup, Table: 50}))
		w.route(with(unicast("::/0", "2001:db8:1::2"), inTable(50)), fib.OpAdd)
		for t := fib.TypeUnicast; t <= fib.TypeThrow; t++ {
			w.route(with(by(unicast("2001:db8:9::/48"), 7), typed(t)), fib.OpReplace)
			w.certain(fib.Flow{Dst: addrOf("2001:db8:9::1")})
		}
	}},
	{"D22a J11 a throw route leaves its copy to the object", func(w *twin) {
		w.addObject(object(7, "2001:db8:1::2"), fib.OpAdd)
		w.addRule(rules.RequestOf(rules.Rule{Family: fib.Inet6, Priority: 40000, Action: rules.ActLookup, Table: 50}))
		w.route(with(by(unicast("2001:db8:9::/48"), 7), typed(fib.TypeThrow)), fib.OpAdd)
		w.route(with(by(unicast("::/0"), 7), inTable(50)), fib.OpAdd)
		w.agree(fib.Flow{Dst: addrOf("2001:db8:9::1")})
		require.Equal(w.t, fib.UndeterminedShared, w.f.Snapshot().Resolve(fib.Flow{Dst: addrOf("2001:db8:9::1")}).Undetermined)
	}},
}

func TestKernelAnswersTheSame(t *testing.T) {
	netnstest.Require(t)
	for _, c := range answerCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conformance.Covers(t, conformance.NumbersIn(c.name)...)
			w := newTwin(t, nil)
			w.host()
			c.do(w)
		})
	}
}
