package rules_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/errno"
	"github.com/fibula-net/fibula/rules"
)

var pfx = netip.MustParsePrefix
var addr = netip.MustParseAddr

func lookupRule(f rules.Family, priority, table uint32) rules.Rule {
	return rules.Rule{Family: f, Priority: priority, Action: rules.ActLookup, Table: table}
}

// mustAdd adds with the flag that ip(8) sets.
func mustAdd(t *testing.T, l *rules.List, r rules.Rule) *rules.List {
	t.Helper()
	next, _, err := l.Add(rules.RequestOf(r), rules.AddFlags{Excl: true})
	require.NoError(t, err)
	return next
}

func requireErrno(t *testing.T, want errno.Errno, err error, args ...any) {
	t.Helper()
	require.ErrorIs(t, err, want, args...)
}
