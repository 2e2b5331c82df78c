package lookuptest_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/fibula-net/fibula/internal/fulltable"
	"github.com/fibula-net/fibula/lookup/lookuptest"
)

func TestMatchingLiesInside(t *testing.T) {
	prefixes := fulltable.Synthetic(100, 100, 1)
	for _, dst := range lookuptest.Matching(prefixes, 1000, 2) {
		assert.True(t, slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(dst) }), dst)
	}
}
