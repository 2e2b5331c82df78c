package hashzone

import (
	"maps"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/lookup"
)

// A probe of a short key touches one cache line only while these hold.
func TestGroupIsACacheLine(t *testing.T) {
	var p page[short, lookup.Index]
	assert.EqualValues(t, 64, unsafe.Sizeof(p.groups[0]))
	assert.EqualValues(t, 64, unsafe.Offsetof(p.groups))
	assert.EqualValues(t, 2304, unsafe.Sizeof(p))
}

// check requires that z holds exactly want, and that its directory is sound.
func check(t *testing.T, z *zone[short, uint32], want map[short]uint32) {
	t.Helper()
	require.Equal(t, len(want), z.n)
	for k, v := range want {
		if got, ok := z.get(k); !ok || got != v {
			require.Failf(t, "get", "key %#x: got %d, %t; want %d", k, got, ok, v)
		}
	}
	found := make(map[short]uint32)
	for k, v := range z.all {
		if _, twice := found[k]; twice {
			require.Failf(t, "all", "key %#x twice", k)
		}
		found[k] = v
	}
	require.True(t, maps.Equal(want, found), "all yields something else than get")

	pages, entries := make(map[*page[short, uint32]]int), 0
	for _, segment := range z.directory {
		for _, p := range segment {
			pages[p]++
			entries++
		}
	}
	require.Equal(t, 1<<z.depth, entries)
	require.Len(t, pages, z.pages)
	for p, times := range pages {
		require.Equal(t, 1<<(z.depth-p.depth), times, "entries of a page of depth %d", p.depth)
		require.LessOrEqual(t, p.n, pageLoad)
	}
}

// TestZoneEqualsMap grows a zone over several doublings and shrinks it to nothing, while
// older versions keep what they held.
func TestZoneEqualsMap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var z *zone[short, uint32]
	want := make(map[short]uint32)
	var old []*zone[short, uint32]
	var oldWant []map[short]uint32
	step := func(epoch uint64, insert int) {
		z = z.own(epoch)
		for range 6000 {
			k, v := short(random.Uint64N(80_000))<<40, random.Uint32()
			wantOld, wantOK := want[k]
			var gotOld uint32
			var gotOK bool
			if random.IntN(10) < insert {
				gotOld, gotOK = z.put(k, v)
				want[k] = v
			} else {
				gotOld, gotOK = z.delete(k)
				delete(want, k)
			}
			if gotOK != wantOK || gotOld != wantOld {
				require.Failf(t, "put or delete", "key %#x: had %d, %t; want %d, %t", k, gotOld, gotOK, wantOld, wantOK)
			}
		}
		check(t, z, want)
		old, oldWant = append(old, z), append(oldWant, maps.Clone(want))
	}
	for epoch := range uint64(12) {
		step(epoch+1, 9)
	}
	require.Greater(t, z.depth, uint(segmentBits), "the zone never grew")
	for epoch := range uint64(12) {
		step(epoch+20, 1)
	}
	z = z.own(99)
	for k := range want {
		z.delete(k)
	}
	check(t, z, map[short]uint32{})
	assert.LessOrEqual(t, z.pages, 4, "an emptied zone keeps its pages")
	for i := range old {
		check(t, old[i], oldWant[i])
	}
}

// TestZoneTakesAnotherHash makes keys collide that the secret of the zone sends to the
// same page however often it splits: the zone must not double its directory for ever.
func TestZoneTakesAnotherHash(t *testing.T) {
	z := newZone[short, uint32](1)
	want := make(map[short]uint32)
	for x := uint64(1); len(want) < 2000; x++ {
		k := collide(z.secret, x)
		z.put(k, uint32(x))
		want[k] = uint32(x)
	}
	check(t, z, want)
	assert.LessOrEqual(t, z.depth, uint(12))
}

// collide inverts the hash: it returns a key that it sends to x, a small number, so that
// the upper bits are 0.
func collide(secret, x uint64) short {
	y := x * inverse(0x9fb2_1c65_1e98_df25)
	return short((y ^ y>>32) * inverse(secret|1))
}

// inverse returns the number that n, which is odd, must be multiplied by to give 1.
func inverse(n uint64) uint64 {
	i := n // right in the lowest 3 bits; each step doubles them (Newton)
	for range 5 {
		i *= 2 - n*i
	}
	return i
}
