package alternatives

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/fulltable"
	"github.com/fibula-net/fibula/lookup/linear"
	"github.com/fibula-net/fibula/lookup/lookuptest"
)

type table interface {
	Lookup4(addr uint32) uint32
	Lookup6(addr [2]uint64) uint32
}

// TestTheyAnswerAsTheLinearEngine also keeps them fit for what they are for.
func TestTheyAnswerAsTheLinearEngine(t *testing.T) {
	six := fulltable.Synthetic6(1500, 2)
	for _, p := range six[:40] {
		a := p.Addr().As16()
		a[15] = 1
		for _, n := range []int{64, 65, 96, 128} {
			six = append(six, netip.PrefixFrom(netip.AddrFrom16(a), n).Masked())
		}
	}
	for family, prefixes := range map[string][]netip.Prefix{"inet": fulltable.Synthetic4(3000, 1), "inet6": six} {
		want := linear.Engine{}.Build(lookuptest.Indexed(prefixes))
		addrs := lookuptest.Matching(prefixes, 3000, 3)
		for _, p := range prefixes {
			addrs = append(addrs, p.Addr(), p.Addr().Prev())
		}
		for name, got := range map[string]table{
			"ranges": NewRanges(lookuptest.Indexed(prefixes)), "rank": NewRank(lookuptest.Indexed(prefixes)), "poptrie": NewPoptrie(lookuptest.Indexed(prefixes)),
		} {
			for _, a := range addrs {
				if !a.IsValid() {
					continue
				}
				m, ok := want.Lookup(a)
				if !ok {
					m.Index = None
				}
				b := a.As16()
				hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
				i := got.Lookup6([2]uint64{hi, lo})
				if a.Is4() {
					i = got.Lookup4(uint32(lo))
				}
				require.Equal(t, m.Index, i, "%s %s %v", family, name, a)
			}
		}
	}
}
