package ksync

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/internal/rtnl"
)

// kernelPart are the routes that the kernel's own filters show for any of the values of a
// selection, in the order of its unfiltered dump.
func kernelPart(t testing.TB, ns NetNS, p *part) (*fib.State, []string) {
	t.Helper()
	var st *fib.State
	var routes []string
	err := retry(t.Context(), Options{NetNS: ns}, func(s *scan) error {
		routes = nil
		before, err := s.moment(t.Context())
		if err != nil {
			return err
		}
		st = before
		shown := map[string]bool{}
		links := []int32{0}
		if p.names != nil {
			links = nil
			for i := range st.Links {
				if slices.Contains(p.names, st.Links[i].Name) {
					links = append(links, st.Links[i].Index)
				}
			}
		}
		for _, f := range s.families {
			for _, table := range orZero(p.Tables) {
				for _, proto := range orZero(p.Protocols) {
					for _, l := range links {
						d := rtnl.Dump{Family: f, Table: table, Protocol: proto, Link: l}
						err := s.filtered(t.Context(), d, func(r *fib.Route) error { shown[shownText(r, st)] = true; return nil })
						if err != nil {
							return err
						}
					}
				}
			}
			if len(p.Families) > 0 && !slices.Contains(p.Families, f) {
				continue
			}
			err := s.filtered(t.Context(), rtnl.Dump{Family: f}, func(r *fib.Route) error {
				if line := shownText(r, st); shown[line] {
					routes = append(routes, line)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		after, err := s.moment(t.Context())
		if err == nil && !sameMoment(before, after) {
			err = errMoved
		}
		return err
	})
	require.NoError(t, err)
	slices.SortStableFunc(routes, comparePrefixText)
	return st, routes
}

func orZero[T comparable](list []T) []T {
	if len(list) == 0 {
		var zero T
		return []T{zero}
	}
	return list
}

// partAtRest is atRest for a mirror of some routes.
func partAtRest(t testing.TB, m *Mirrored, ns NetNS) string {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	p := m.opt.part()
	for {
		st, before := kernelPart(t, ns, &p)
		if err := m.Sync(ctx); err != nil && ctx.Err() == nil {
			return fmt.Sprintf("sync: %v", err)
		}
		s := m.FIB().Snapshot()
		again, after := kernelPart(t, ns, &p)
		if !slices.Equal(before, after) || objectDiff(st, again) != "" || carrierMoves(s, again) {
			if ctx.Err() != nil {
				return "the kernel does not rest: " + objectDiff(st, again) + linesApart(before, after)
			}
			continue
		}
		a, b := plain(s.Surroundings()), plain(st)
		p.ofFamilies(&a)
		p.ofFamilies(&b)
		var diff string
		for _, d := range objectDifferences(&a, &b) {
			diff += fmt.Sprintf("%s:\n  mirror %s\n  kernel %s\n", d.Object, d.Ours, d.Theirs)
		}
		if ours := ourRoutes(s); !slices.Equal(ours, before) {
			diff += linesApart(ours, before)
		}
		return diff
	}
}

// TestMirrorOfAPart changes namespaces at random while a mirror follows some of their routes:
// it holds what the kernel shows through its own filters.
func TestMirrorOfAPart(t *testing.T) {
	netnstest.Require(t)
	conformance.Covers(t, "F14")
	first := randtest.Seed(t)
	for i := range uint64(randtest.Fewer(60)) {
		t.Run(strconv.FormatUint(first+i, 10), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(first+i, 13))
			w := newChurn(t, r)
			for range r.IntN(40) {
				w.step()
			}
			w.flush()
			opt := MirrorOptions{NetNS: w.netns(), MaxDelay: time.Duration(1+r.IntN(4)) * time.Millisecond,
				Families:  oneof(r, nil, nil, []fib.Family{fib.Inet}, []fib.Family{fib.Inet6}),
				Tables:    oneof(r, nil, nil, []fib.TableID{fib.TableMain}, []fib.TableID{100, fib.TableLocal}),
				Protocols: oneof(r, nil, []fib.Protocol{fib.ProtoStatic}, []fib.Protocol{99, fib.ProtoBoot}, []fib.Protocol{fib.ProtoKernel, fib.ProtoStatic}),
				Links:     oneof(r, nil, nil, []string{"d1"}, []string{"d1", "d2"}, []string{"p1", "d3"}, []string{"lo", "x1"}),
			}
			if r.IntN(5) == 0 {
				opt.ReceiveBuffer = 1
			}
			var log strings.Builder
			opt.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			m, err := Mirror(context.Background(), fib.New(fib.Config{}), opt)
			require.NoError(t, err)
			defer m.Close()
			for range 4 {
				w.story = w.story[:0]
				for range 5 + r.IntN(60) {
					w.step()
				}
				w.flush()
				if diff := partAtRest(t, m, w.netns()); diff != "" {
					m.Close()
					t.Fatalf("%+v\n%s\nstory:\n%s\nlog:\n%s\n%+v", opt, diff, strings.Join(w.story, "\n"), log.String(), m.Stats())
				}
			}
			c, err := m.Audit(t.Context())
			require.NoError(t, err)
			assert.True(t, c.Equal(), "%+v", c)
			n := 0
			for _, d := range m.FIB().Snapshot().Digest() {
				n += d.Routes
			}
			assert.Equal(t, n, c.Routes)
		})
	}
}

// What is not followed never comes as far as to us, but for what may have replaced something
// that is.
func TestMirrorOfAPartHearsOfNothingElse(t *testing.T) {
	t.Parallel()
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ns.Batch("link add d0 type veth peer p0", "link add d1 type veth peer p1", "link set d0 up", "link set p0 up", "link set d1 up", "link set p1 up",
		"addr add 10.0.0.1/24 dev d0", "addr add 10.1.0.1/24 dev d1", "addr add 2001:db8::1/64 dev d0 nodad", "addr add 2001:db8:1::1/64 dev d1 nodad")
	ns.Settle()
	m := mirrored(t, ns, MirrorOptions{Families: []fib.Family{fib.Inet}, Protocols: []fib.Protocol{99}, Tables: []fib.TableID{fib.TableMain}, Links: []string{"d0"}})
	var lines []string
	for i := range 200 {
		lines = append(lines, fmt.Sprintf("route add 10.9.%d.0/24 via 10.0.0.2 proto 98", i), fmt.Sprintf("route add 10.8.%d.0/24 via 10.1.0.2 proto 99", i),
			fmt.Sprintf("route add 10.7.%d.0/24 via 10.0.0.2 proto 99 table 7", i), fmt.Sprintf("route add 2001:db8:%x::/48 via 2001:db8::2 proto 99", 100+i),
			fmt.Sprintf("route add blackhole 10.6.%d.0/24 proto 99", i))
	}
	lines = append(lines, "rule add pref 5 lookup 7", "-6 rule add pref 5 lookup 7", "route add 10.9.0.0/16 via 10.0.0.3 proto 99")
	ns.Batch(lines...)
	ns.Batch("route del 10.9.7.0/24", "route del 10.8.7.0/24")
	require.Empty(t, partAtRest(t, m, Named(ns.Name())))
	s := m.Stats()
	assert.EqualValues(t, 1, s.Events["route"], "%v", ourRoutes(m.FIB().Snapshot()))
	assert.EqualValues(t, 1, s.Events["rule"])
	assert.Zero(t, s.Drift)
	assert.Equal(t, 1, len(ourRoutes(m.FIB().Snapshot())))
}

// A route that goes to one who is not followed leaves the mirror, whatever takes its place.
func TestMirrorOfAPartLosesWhatIsReplaced(t *testing.T) {
	t.Parallel()
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ns.Batch("link add d0 type veth peer p0", "link set d0 up", "link set p0 up", "addr add 10.0.0.1/24 dev d0", "addr add 2001:db8::1/64 dev d0 nodad",
		"route add 10.9.0.0/16 via 10.0.0.2 proto 99", "route add 2001:db8:9::/48 via 2001:db8::2 proto 99")
	ns.Settle()
	m := mirrored(t, ns, MirrorOptions{Protocols: []fib.Protocol{99}})
	p := m.opt.part()
	for _, c := range []struct {
		do string
		n  int
	}{
		{"route replace 10.9.0.0/16 via 10.0.0.3 proto 98", 1}, {"route replace 10.9.0.0/16 via 10.0.0.3 proto 99", 2},
		{"route append 10.9.0.0/16 via 10.0.0.4 proto 98", 2}, {"route prepend 10.9.0.0/16 via 10.0.0.5 proto bird", 2},
		{"route replace 10.9.0.0/16 via 10.0.0.6 proto 99", 3}, {"route replace 10.9.0.0/16 via 10.0.0.7 proto 98", 2},
		{"-6 route append 2001:db8:9::/48 via 2001:db8::3 proto 98", 2}, {"-6 route del 2001:db8:9::/48 via 2001:db8::2", 1},
		{"-6 route append 2001:db8:9::/48 via 2001:db8::4 proto 99", 1}, {"-6 route del 2001:db8:9::/48 via 2001:db8::3", 2},
		{"-6 route replace 2001:db8:9::/48 via 2001:db8::5 proto 98", 1},
	} {
		ns.IP(c.do)
		require.Empty(t, partAtRest(t, m, Named(ns.Name())), c.do)
		_, lines := kernelPart(t, Named(ns.Name()), &p)
		assert.Len(t, lines, c.n, "after %s: %v", c.do, lines)
	}
	assert.Zero(t, m.Stats().Drift)
}

// Who has the name of a link is followed, whatever its index.
func TestMirrorOfALinkFollowsItsName(t *testing.T) {
	t.Parallel()
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ns.Batch("link add d0 type veth peer p0", "link set d0 up", "link set p0 up", "addr add 10.0.0.1/24 dev d0", "route add 10.9.0.0/16 via 10.0.0.2")
	ns.Settle()
	m := mirrored(t, ns, MirrorOptions{Links: []string{"w0"}})
	require.Zero(t, len(ourRoutes(m.FIB().Snapshot())))
	for _, do := range []string{"link set d0 name w0", "route add 10.8.0.0/16 via 10.0.0.2", "link set w0 name d0", "route add 10.7.0.0/16 via 10.0.0.2", "link set d0 name w0",
		"link del w0", "link add w0 type veth peer q0", "link set w0 up", "addr add 10.3.0.1/24 dev w0"} {
		ns.IP(do)
		require.Empty(t, partAtRest(t, m, Named(ns.Name())), do)
	}
	assert.NotZero(t, len(ourRoutes(m.FIB().Snapshot())))
	assert.Zero(t, m.Stats().Drift)
}

// hookedSource does something behind a dump of routes.
type hookedSource struct {
	*kernelSource
	after func(fib.Family)
}

func (k *hookedSource) routes(ctx context.Context, f fib.Family, t fib.TableID, fn func(*fib.Route) error) error {
	err := k.kernelSource.routes(ctx, f, t, fn)
	if k.after != nil {
		k.after(f)
	}
	return err
}

// What is left of an IPv6 multipath route can be of those that are followed, which no news
// tell: neither a Sync behind nor an audit beside which it becomes so ends before it was looked at.
func TestMirrorOfAPartLooksAtWhatIsLeft(t *testing.T) {
	t.Parallel()
	ns := netnstest.New(t, netnstest.LoUp, netnstest.Quiet)
	ns.Batch("link add d0 type veth peer p0", "link set d0 up", "link set p0 up", "addr add 2001:db8::1/64 dev d0 nodad")
	for _, p := range []string{"8", "9"} {
		ns.Batch("-6 route add 2001:db8:"+p+"::/48 via 2001:db8::2 proto 98", "-6 route append 2001:db8:"+p+"::/48 via 2001:db8::3 proto 99")
	}
	ns.Settle()
	opt := MirrorOptions{NetNS: Named(ns.Name()), Protocols: []fib.Protocol{99}, Poll: time.Hour}
	k, err := openSource(t.Context(), &opt)
	require.NoError(t, err)
	src := &hookedSource{kernelSource: k}
	m := newMirror(fib.New(fib.Config{}), src, opt, time.Now) // nothing is heard but in a reply
	defer src.close()
	require.NoError(t, m.begin(t.Context()))
	require.Empty(t, ourRoutes(m.FIB().Snapshot()))
	asked := func(audit bool) Certificate {
		a := ask1{t.Context(), audit, make(chan answer1, 1)}
		m.reply(t.Context(), a)
		r := <-a.answer
		require.NoError(t, r.err)
		p := opt.part()
		_, lines := kernelPart(t, opt.NetNS, &p)
		assert.NotEmpty(t, lines)
		assert.Equal(t, lines, ourRoutes(m.FIB().Snapshot()))
		return r.cert
	}
	ns.IP("-6 route del 2001:db8:8::/48 via 2001:db8::2")
	asked(false)
	src.after = func(f fib.Family) {
		if f == fib.Inet6 {
			src.after = nil
			ns.IP("-6 route del 2001:db8:9::/48 via 2001:db8::2")
		}
	}
	c := asked(true)
	assert.True(t, c.Equal(), "%+v", c)
}
