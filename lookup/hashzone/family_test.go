package hashzone

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/fulltable"
	"github.com/fibula-net/fibula/lookup/lookuptest"
)

// TestNothingIsLeftBehind: bitmaps and counts are only hints where to look, so stale ones
// would slow lookups down without giving a wrong answer. When the last prefix goes, all
// of them must have gone.
func TestNothingIsLeftBehind(t *testing.T) {
	all := fulltable.Synthetic(3000, 3000, 1)
	table := Engine{}.Build(lookuptest.Indexed(all))
	for _, f := range []*family{table.(*Table).four, table.(*Table).six} {
		require.NotZero(t, f.top)
		require.NotNil(t, f.counts)
	}
	e := table.Edit()
	for _, p := range all {
		e.Delete(p)
	}
	for _, f := range []*family{e.Table().(*Table).four, e.Table().(*Table).six} {
		assert.Zero(t, f.n)
		assert.Zero(t, f.top)
		assert.Nil(t, f.counts)
		for length, z := range f.short {
			assert.Nil(t, z, "length %d", length)
		}
		for at, z := range f.long {
			assert.Nil(t, z, "length %d", at+65)
		}
		for b, z := range f.heads6 {
			assert.Nil(t, z, "band %d", b)
		}
	}
	h := e.Table().(*Table).four.heads4
	assert.Zero(t, h.by8)
	for at, p := range h.by16 {
		if p != nil {
			assert.Zero(t, p.by16, "block %d", at)
		}
	}
}
