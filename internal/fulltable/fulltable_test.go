package fulltable

import (
	"bytes"
	"compress/gzip"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSyntheticIsSortedDistinctAndRepeatable(t *testing.T) {
	all := Synthetic(5000, 3000, 7)
	require.Len(t, all, 8000)
	assert.True(t, slices.IsSortedFunc(all, netip.Prefix.Compare))
	assert.Len(t, slices.Compact(slices.Clone(all)), 8000)
	assert.Equal(t, all, Synthetic(5000, 3000, 7))
	assert.NotEqual(t, all, Synthetic(5000, 3000, 8))
	for _, p := range all {
		assert.Equal(t, p.Masked(), p)
		assert.False(t, p.Addr().IsMulticast(), "%v", p)
	}
}

func TestRealHasBothFamilies(t *testing.T) {
	all, err := Real(t.Context())
	require.NoError(t, err)
	n4 := slices.IndexFunc(all, func(p netip.Prefix) bool { return p.Addr().Is6() })
	assert.Greater(t, n4, 800_000)
	assert.Greater(t, len(all)-n4, 100_000)
}

func TestReadNamesTheBadLine(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte("192.0.2.0/24\n0.0.0.0/0\nnonsense\n"))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	_, err = read(&b)
	require.ErrorContains(t, err, "line 3")
}

// shape is what the generator was fitted to: by length, the share of prefixes, and how
// many blocks of some lengths hold any; and the share of prefixes inside another.
func shape(all []netip.Prefix, blocks []int) (lengths [129]float64, held map[int]int, nested float64) {
	seen := map[netip.Prefix]struct{}{}
	held = map[int]int{}
	var open []netip.Prefix
	for _, p := range all {
		lengths[p.Bits()] += 1 / float64(len(all))
		for len(open) > 0 && !open[len(open)-1].Contains(p.Addr()) {
			open = open[:len(open)-1]
		}
		if len(open) > 0 {
			nested += 1 / float64(len(all))
		}
		open = append(open, p)
		for _, bits := range blocks {
			if block, err := p.Addr().Prefix(bits); err == nil && p.Bits() >= bits {
				if _, again := seen[block]; !again {
					seen[block] = struct{}{}
					held[bits]++
				}
			}
		}
	}
	return lengths, held, nested
}

func TestSyntheticLooksLikeTheRealTable(t *testing.T) {
	if testing.Short() {
		t.Skip("reads the whole table")
	}
	real, err := Real(t.Context())
	require.NoError(t, err)
	n4 := slices.IndexFunc(real, func(p netip.Prefix) bool { return p.Addr().Is6() })
	for name, c := range map[string]struct {
		real, made []netip.Prefix
		blocks     []int
	}{
		"inet":  {real[:n4], Synthetic4(n4, 5), []int{8, 12, 16, 20, 24}},
		"inet6": {real[n4:], Synthetic6(len(real)-n4, 5), []int{20, 24, 28, 32, 40, 44, 48}},
	} {
		want, wantHeld, wantNested := shape(c.real, c.blocks)
		got, gotHeld, gotNested := shape(c.made, c.blocks)
		for bits := range want {
			assert.InDelta(t, want[bits], got[bits], 0.01, "%s: share of /%d", name, bits)
		}
		for _, bits := range c.blocks { // within a factor of three: the same levels of memory
			assert.Greater(t, gotHeld[bits]*3, wantHeld[bits], "%s: blocks of /%d", name, bits)
			assert.Less(t, gotHeld[bits], wantHeld[bits]*3, "%s: blocks of /%d", name, bits)
		}
		assert.InDelta(t, wantNested, gotNested, 0.2, "%s: prefixes inside others", name)
	}
}

func TestFollowing(t *testing.T) {
	for in, want := range map[string]string{"10.0.0.0/8": "11.0.0.0", "10.1.128.0/17": "10.2.0.0", "10.255.0.0/16": "11.0.0.0",
		"2001:db8::/28": "2001:dc8::", "2001:ff00::/24": "2002::"} {
		assert.Equal(t, netip.MustParseAddr(want), following(netip.MustParsePrefix(in)))
	}
}
