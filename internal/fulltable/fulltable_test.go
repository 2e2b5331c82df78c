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
