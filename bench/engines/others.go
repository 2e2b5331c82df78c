package engines

import (
	"encoding/binary"
	"iter"
	"net"
	"net/netip"

	"github.com/gaissmai/bart"
	"github.com/k-sone/critbitgo"
	"github.com/yl2chen/cidranger"

	"github.com/fibula-net/fibula/bench/streams"
	"github.com/fibula-net/fibula/lookup"
)

// Each module gets the form that costs it least: loops of its own around its own
// type, no interface between, and addresses in the form that it takes.

func bartTable() *Engine {
	return &Engine{Name: "bart", Fill: func(routes iter.Seq2[netip.Prefix, lookup.Index]) Forms {
		t := &bart.Table[uint32]{}
		for p, i := range routes {
			t.Insert(p, i)
		}
		return Forms{keep: t, Scalar: Form{
			One: one(func(a netip.Addr) uint32 { return orMiss(t.Lookup(a)) }),
			Answer: func(s *streams.Stream, from int, out []uint32) {
				if is4(s) {
					for k, a := range s.V4[from : from+len(out)] {
						out[k] = orMiss(t.Lookup(streams.Addr4(a)))
					}
					return
				}
				for k, a := range s.V6[from : from+len(out)] {
					out[k] = orMiss(t.Lookup(streams.Addr6(a)))
				}
			}}}
	}}
}

func bartFast() *Engine {
	return &Engine{Name: "bart-fast", Fill: func(routes iter.Seq2[netip.Prefix, lookup.Index]) Forms {
		t := &bart.Fast[uint32]{}
		for p, i := range routes {
			t.Insert(p, i)
		}
		return Forms{keep: t, Scalar: Form{
			One: one(func(a netip.Addr) uint32 { return orMiss(t.Lookup(a)) }),
			Answer: func(s *streams.Stream, from int, out []uint32) {
				if is4(s) {
					for k, a := range s.V4[from : from+len(out)] {
						out[k] = orMiss(t.Lookup(streams.Addr4(a)))
					}
					return
				}
				for k, a := range s.V6[from : from+len(out)] {
					out[k] = orMiss(t.Lookup(streams.Addr6(a)))
				}
			}}}
	}}
}

func orMiss(i uint32, ok bool) uint32 {
	if !ok {
		return Miss
	}
	return i
}

// critbit is a crit-bit tree. It keeps both families in one tree of keys, and so
// gets one for each; it takes and returns the slices of package net, which allocates.
func critbit() *Engine {
	return &Engine{Name: "critbitgo", Fill: func(routes iter.Seq2[netip.Prefix, lookup.Index]) Forms {
		t := critbitgo.NewNet()
		for p, i := range routes {
			_ = t.Add(ipNet(p), i) // only an invalid prefix is an error
		}
		return Forms{keep: t, Scalar: bySlice(func(a net.IP) uint32 {
			if r, i, err := t.MatchIP(a); err == nil && r != nil {
				return i.(uint32)
			}
			return Miss
		})}
	}}
}

// cidrangerTrie is a path-compressed trie. It has no longest match: all matches are
// asked for, and the last, which is the longest, is taken.
func cidrangerTrie() *Engine {
	return &Engine{Name: "cidranger", Fill: func(routes iter.Seq2[netip.Prefix, lookup.Index]) Forms {
		t := cidranger.NewPCTrieRanger()
		for p, i := range routes {
			_ = t.Insert(&cidrEntry{*ipNet(p), i})
		}
		return Forms{keep: t, Scalar: bySlice(func(a net.IP) uint32 {
			if all, err := t.ContainingNetworks(a); err == nil && len(all) > 0 {
				return all[len(all)-1].(*cidrEntry).index
			}
			return Miss
		})}
	}}
}

type cidrEntry struct {
	net   net.IPNet
	index uint32
}

func (e *cidrEntry) Network() net.IPNet { return e.net }

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// bySlice asks with a slice that is used again.
func bySlice(lookup func(net.IP) uint32) Form {
	var b [16]byte
	single := func(s *streams.Stream, i int) uint32 {
		if is4(s) {
			binary.BigEndian.PutUint32(b[:4], s.V4[i])
			return lookup(b[:4])
		}
		binary.BigEndian.PutUint64(b[:8], s.V6[i][0])
		binary.BigEndian.PutUint64(b[8:], s.V6[i][1])
		return lookup(b[:])
	}
	return Form{One: single, Answer: func(s *streams.Stream, from int, out []uint32) {
		for k := range out {
			out[k] = single(s, from+k)
		}
	}}
}
