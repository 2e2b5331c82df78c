package fib

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/fibula-net/fibula/internal/conformance"
)

// The vectors of the SipHash paper's reference code: key 00 01 … 0f, messages
// 00 01 … of each length.
func TestSipHashVectors(t *testing.T) {
	conformance.CoversEngine(t, "B25")
	const k0, k1 = 0x0706050403020100, 0x0f0e0d0c0b0a0908
	msg := make([]byte, 64)
	for i := range msg {
		msg[i] = byte(i)
	}
	for n, want := range map[int]uint64{
		0: 0x726fdb47dd0e0e31, 1: 0x74f839c593dc67fd, 7: 0xab0200f58b01d137, 8: 0x93f5f5799a932462, 15: 0xa129ca6149be45e5,
	} {
		assert.Equal(t, want, siphash24(k0, k1, msg[:n]), "%d bytes", n)
	}
}

func TestBounds(t *testing.T) {
	legs := []Nexthop{{Weight: 1}, {Weight: 3}, {Weight: 0}}
	none := func(*Nexthop) bool { return false }
	assert.Equal(t, []int32{429496729, 1717986917, hashSpace - 1}, boundsOf(legs, none))
	assert.Equal(t, []int32{-1, 1610612735, hashSpace - 1}, boundsOf(legs, func(n *Nexthop) bool { return n == &legs[0] }))
	assert.Equal(t, []int32{-1, -1, -1}, boundsOf(legs, func(*Nexthop) bool { return true }))
	// {mp4-resilient-a}: weights 1, 3, 2 and 12 buckets.
	assert.Equal(t, []uint32{9, 9, 9, 9, 8, 8, 8, 8, 8, 8, 7, 7},
		migrateBuckets(nil, []GroupMember{{ID: 7, Weight: 1}, {ID: 8, Weight: 3}, {ID: 9, Weight: 2}}, 12))
}
