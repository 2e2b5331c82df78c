package rules_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strconv"
	"testing"

	"github.com/fibula-net/fibula/rules"
)

// ruleSet is a kind of rule lists as they are found in the field: the initial rules
// and, in between, n of what rule makes; hit returns a flow that meets rule i of
// those, miss one that meets none.
type ruleSet struct {
	name string
	rule func(i int) rules.Rule
	hit  func(i int) rules.Flow
	miss func(i int) rules.Flow
}

func numbered(base uint32, i int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], base+uint32(i))
	return netip.AddrFrom4(b)
}

const pods, elsewhere = 10 << 24, 192 << 24

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

var ruleSets = []ruleSet{
	{ // two rules per pod, as container network plug-ins make them
		"cni",
		func(i int) rules.Rule {
			r := lookupRule(rules.Inet, 512, rules.TableMain)
			if r.To = host(numbered(pods, i/2)); i%2 == 1 {
				r.From, r.To = r.To, netip.Prefix{}
				r.Priority, r.Table = 1536, uint32(1000+i/2%8)
			}
			return r
		},
		func(i int) rules.Flow {
			if i%2 == 0 {
				return rules.Flow{Src: numbered(elsewhere, i), Dst: numbered(pods, i/2)}
			}
			return rules.Flow{Src: numbered(pods, i/2), Dst: numbered(elsewhere, i)}
		},
		func(i int) rules.Flow { return rules.Flow{Src: numbered(elsewhere, i), Dst: numbered(elsewhere, i+1)} },
	},
	{ // a mark and an input interface per uplink or tunnel
		"mark",
		func(i int) rules.Rule {
			r := lookupRule(rules.Inet, uint32(1000+i), uint32(1000+i))
			r.Mark, r.MarkMask = uint32(i+1)<<8, 0xffffff00
			if i%4 == 3 {
				r.Mark, r.MarkMask, r.Iif = 0, 0, "if"+strconv.Itoa(i)
			}
			return r
		},
		func(i int) rules.Flow {
			if i%4 == 3 {
				return rules.Flow{Iif: int32(i + 10)}
			}
			return rules.Flow{Iif: 1, Mark: uint32(i+1)<<8 | 5}
		},
		func(i int) rules.Flow { return rules.Flow{Iif: 1, Mark: uint32(i & 0xff)} },
	},
	{ // users of a phone's applications, which nothing but the range tells apart
		"uid",
		func(i int) rules.Rule {
			r := lookupRule(rules.Inet, 12000, uint32(1000+i%16))
			r.Iif, r.HasUIDs, r.UIDs = "lo", true, rules.UIDRange{Start: uint32(100 * i), End: uint32(100*i + 89)}
			return r
		},
		func(i int) rules.Flow { return rules.Flow{Iif: 1, UID: uint32(100*i + 7)} },
		func(i int) rules.Flow { return rules.Flow{Iif: 1, UID: uint32(100*i + 95)} },
	},
	{ // ten shapes, ranges of ports, a few inverted rules, a goto
		"mix",
		func(i int) rules.Rule {
			r := lookupRule(rules.Inet, uint32(1000+i), uint32(1000+i%64))
			a := numbered(pods, i*256)
			switch i % 8 {
			case 0, 1:
				r.From = netip.PrefixFrom(a, 24)
			case 2:
				r.To = netip.PrefixFrom(a, 24)
			case 3:
				r.From, r.Mark, r.MarkMask = host(a), 1, 0xff
			case 4:
				r.From, r.IPProto, r.Dport = host(numbered(pods, i%64)), 6, rules.Ports(uint16(1+i/8%3000*20), uint16(10+i/8%3000*20))
			case 5:
				r.To, r.IPProto, r.Dport = host(a), 6, rules.Port(443)
			case 6:
				r.Iif, r.To = "if"+strconv.Itoa(i%16), netip.PrefixFrom(a, 16)
			case 7:
				r.From, r.To = host(a), host(numbered(elsewhere, i))
			}
			return r
		},
		func(i int) rules.Flow {
			i &^= 7 // the first of the eight
			return rules.Flow{Src: numbered(pods, i*256+1), Dst: numbered(elsewhere, i), IPProto: 6, Dport: 443, Iif: 1}
		},
		func(i int) rules.Flow {
			return rules.Flow{Src: numbered(elsewhere, i), Dst: numbered(elsewhere, i), IPProto: 6, Dport: 443, Iif: 1}
		},
	},
}

// load returns a list of n rules.
func (s *ruleSet) load(n int) *rules.List {
	rs := []rules.Rule{lookupRule(rules.Inet, 0, rules.TableLocal)}
	for i := range n - 3 {
		rs = append(rs, s.rule(i))
	}
	rs = append(rs, lookupRule(rules.Inet, 32766, rules.TableMain), lookupRule(rules.Inet, 32767, rules.TableDefault))
	return rules.Load(rules.Inet, rs).Bind(numberedLinks)
}

func numberedLinks(name string) (int32, bool) {
	if name == "lo" {
		return 1, false
	}
	n, _ := strconv.Atoi(name[2:])
	return int32(n + 10), false
}

func (s *ruleSet) flows(n int, hit bool) []rules.Flow {
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	fs := make([]rules.Flow, 1<<14)
	for i := range fs {
		if hit {
			fs[i] = s.hit(rnd.IntN(n - 3))
		} else {
			fs[i] = s.miss(rnd.IntN(n - 3))
		}
		fs[i].Family = rules.Inet
	}
	return fs
}

// BenchmarkNext walks over the local rule, which never answers, to the rule that a
// flow means: one of the set (hit) or that of table main (miss).
func BenchmarkNext(b *testing.B) {
	for _, s := range ruleSets {
		for _, n := range []int{5, 10, 8, 12, 16, 32, 100, 1000, 10_000, 100_000} {
			l := s.load(n)
			for _, flow := range []string{"hit", "miss"} {
				fs := s.flows(n, flow == "hit")
				b.Run(fmt.Sprintf("set=%s/rules=%d/flow=%s", s.name, n, flow), func(b *testing.B) {
					b.ReportAllocs()
					i, sum := 0, 0
					for b.Loop() {
						var c rules.Cursor
						l.Next(&c, &fs[i&(1<<14-1)], rules.Profile{})
						e, _, _ := l.Next(&c, &fs[i&(1<<14-1)], rules.Profile{})
						sum += l.Position(e)
						i++
					}
					runtime.KeepAlive(sum)
				})
			}
		}
	}
}

// BenchmarkWalk is the same over the literal matcher.
func BenchmarkWalk(b *testing.B) {
	s := ruleSets[0]
	for _, n := range []int{5, 10, 8, 12, 16, 32, 100, 1000, 10_000} {
		l := s.load(n)
		fs := s.flows(n, false)
		b.Run(fmt.Sprintf("set=%s/rules=%d/flow=miss", s.name, n), func(b *testing.B) {
			i, sum := 0, 0
			for b.Loop() {
				for at, matches := 0, 0; matches < 2; at++ {
					if ok, _, _ := l.Match(at, &fs[i&(1<<14-1)], rules.Profile{}); ok {
						matches++
					}
					sum += at
				}
				i++
			}
			runtime.KeepAlive(sum)
		})
	}
}

// BenchmarkEdit adds one rule to a list and deletes one.
func BenchmarkEdit(b *testing.B) {
	for _, s := range ruleSets {
		for _, n := range []int{100, 10_000, 100_000} {
			l := s.load(n)
			name := fmt.Sprintf("set=%s/rules=%d", s.name, n)
			b.Run("op=add/"+name, func(b *testing.B) {
				b.ReportAllocs()
				q := rules.RequestOf(s.rule(n))
				for b.Loop() {
					if _, _, err := l.Add(q, rules.AddFlags{Excl: true, Link: numberedLinks}); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("op=delete/"+name, func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if _, _, err := l.Delete(rules.RequestOf(s.rule(i % (n - 3)))); err != nil {
						b.Fatal(err)
					}
					i += 12345
				}
			})
			b.Run("op=rebind/"+name, func(b *testing.B) {
				i := int32(0)
				for b.Loop() {
					l.Rebind("if3", 1000000+i&1, false)
					i++
				}
			})
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, s := range ruleSets {
		for _, n := range []int{10_000, 100_000} {
			b.Run(fmt.Sprintf("set=%s/rules=%d", s.name, n), func(b *testing.B) {
				before := heap()
				var l *rules.List
				for b.Loop() {
					l = s.load(n)
				}
				b.ReportMetric(float64(heap()-before)/float64(n), "B/rule")
				runtime.KeepAlive(l)
			})
		}
	}
}

// heap is what is in use once garbage has gone.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
