package fib_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/lookup/trie"
	"github.com/fibula-net/fibula/rules"
)

func pod(i int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 10<<24|1<<23|uint32(i))
	return netip.AddrFrom4(b)
}

// podRules are the two rules of a pod as container network plug-ins make them.
func podRules(i int) [2]rules.Rule {
	to := rules.Rule{Family: fib.Inet, Priority: 512, Action: rules.ActLookup, Table: uint32(fib.TableMain), To: netip.PrefixFrom(pod(i), 32)}
	from := rules.Rule{Family: fib.Inet, Priority: 1536, Action: rules.ActLookup, Table: uint32(100 + i%4), From: netip.PrefixFrom(pod(i), 32)}
	return [2]rules.Rule{to, from}
}

// node is the state of a node of a cluster with n IPv4 rules: a few for the machine
// and two for each pod.
func node(n int) *fib.State {
	st := &fib.State{Mode4: fib.ModeRules, Mode6: fib.ModeRules, Sysctls: fib.DefaultSysctls()}
	for i := range int32(6) {
		l := fib.Link{Index: 1 + i, Name: fmt.Sprint("d", i), Flags: fib.LinkUp | fib.LinkLowerUp, MTU: 1500}
		if i == 0 {
			l.Name, l.Flags = "lo", l.Flags|fib.LinkLoopback
		}
		l.Conf4.Forwarding = true
		a := netip.AddrFrom4([4]byte{10, byte(1 + i), 0, 1})
		st.Links = append(st.Links, l)
		st.Addresses = append(st.Addresses, fib.Address{Link: l.Index, Local: a, Prefix: netip.PrefixFrom(a, 24)})
		st.Routes = append(st.Routes,
			fib.Route{Table: fib.TableLocal, Dst: netip.PrefixFrom(a, 32), Type: fib.TypeLocal, Scope: fib.ScopeHost, Protocol: fib.ProtoKernel,
				PrefSrc: a, Nexthops: []fib.Nexthop{{Link: l.Index, Weight: 1}}},
			fib.Route{Table: fib.TableMain, Dst: netip.PrefixFrom(a, 24).Masked(), Type: fib.TypeUnicast, Scope: fib.ScopeLink, Protocol: fib.ProtoKernel,
				PrefSrc: a, Nexthops: []fib.Nexthop{{Link: l.Index, Weight: 1}}})
	}
	for i, table := range []fib.TableID{fib.TableMain, 100, 101, 102, 103} {
		st.Routes = append(st.Routes, fib.Route{Table: table, Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Type: fib.TypeUnicast,
			Nexthops: []fib.Nexthop{{Link: int32(2 + i), Gateway: netip.AddrFrom4([4]byte{10, byte(2 + i), 0, 9}), Weight: 1}}})
	}
	for i := range (n - 3) / 2 {
		r := podRules(i)
		st.Rules = append(st.Rules, r[0], r[1])
	}
	for _, f := range []fib.Family{fib.Inet, fib.Inet6} {
		for r := range initialRules(f) {
			st.Rules = append(st.Rules, r)
		}
	}
	return st
}

// BenchmarkResolveRules answers flows that no pod's rule matches, and those from a
// pod.
func BenchmarkResolveRules(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000, 100_000} {
		s := loaded(b, node(n))
		for _, from := range []string{"elsewhere", "pod"} {
			flows := make([]fib.Flow, 1<<14)
			for i := range flows {
				src := netip.AddrFrom4([4]byte{10, 1, 0, 1})
				if from == "pod" {
					src = pod(i * 7919 % ((n - 3) / 2))
				}
				flows[i] = fib.Flow{Src: src, Dst: netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), Iif: 2}
				if from == "elsewhere" {
					flows[i].Iif = 0
				}
			}
			b.Run(fmt.Sprintf("rules=%d/from=%s", n, from), func(b *testing.B) {
				b.ReportAllocs()
				i, sum := 0, uint32(0)
				for b.Loop() {
					d := s.Resolve(flows[i&(1<<14-1)])
					sum += uint32(d.Link)
					i++
				}
				require.NotZero(b, sum)
			})
		}
	}
}

// BenchmarkRuleTxn adds and deletes the rules of one pod, and renames a link that no
// rule names, each change a transaction of its own.
func BenchmarkRuleTxn(b *testing.B) {
	for _, n := range []int{10, 10_000, 100_000} {
		f := fib.New(fib.Config{Engine: trie.Engine{}})
		update := func(fn func(tx *fib.Txn) error) {
			if _, err := f.Update(fn); err != nil {
				b.Fatal(err)
			}
		}
		update(func(tx *fib.Txn) error { return tx.Load(node(n)) })
		r := podRules(n)[0]
		b.Run(fmt.Sprintf("op=rule/rules=%d", n), func(b *testing.B) {
			for b.Loop() {
				update(func(tx *fib.Txn) error { _, err := tx.AddRule(rules.RequestOf(r), fib.Create|fib.Excl); return err })
				update(func(tx *fib.Txn) error { _, err := tx.DeleteRule(rules.RequestOf(r)); return err })
			}
		})
		b.Run(fmt.Sprintf("op=rename/rules=%d", n), func(b *testing.B) {
			i := 0
			for b.Loop() {
				l, ok := f.Snapshot().Link(3)
				if !ok {
					b.Fatal(errors.New("no link"))
				}
				l.Name = fmt.Sprint("new", i)
				update(func(tx *fib.Txn) error { return tx.SetLink(l) })
				i++
			}
		})
	}
}
