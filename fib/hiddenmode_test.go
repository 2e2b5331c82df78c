package fib

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/rules"
)

// TestHiddenModeShowsWhenARuleGoes: whether rules are walked does not matter as long as they are the
// initial ones, and is open as soon as one of them goes, unless it was known (A9).
func TestHiddenModeShowsWhenARuleGoes(t *testing.T) {
	for _, c := range []struct {
		name   string
		loaded Mode
		want   Mode
	}{{"unknown", ModeUnknown, ModeUnknown}, {"merged", ModeMerged, ModeMerged}, {"rules", ModeRules, ModeRules}} {
		t.Run(c.name, func(t *testing.T) {
			st := twoLinks()
			st.Mode6 = c.loaded
			for _, reload := range []bool{false, true} {
				f := loaded(t, Config{}, st)
				want := c.want
				if reload { // rules may have come and gone unheard
					_, err := f.Update(func(tx *Txn) error { return tx.Reload(f.Snapshot().Dumped()) })
					require.NoError(t, err)
					if want == ModeMerged {
						want = ModeUnknown
					}
				}
				_, err := f.Update(func(tx *Txn) error {
					_, err := tx.DeleteRule(rules.RequestOf(rules.Rule{Family: Inet6, Priority: 32766, Table: uint32(TableMain), Action: rules.ActLookup}))
					return err
				})
				require.NoError(t, err)
				require.Equal(t, want, f.Snapshot().Surroundings().Mode6)
			}
		})
	}
}
