package daemon

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/ksync"
	"github.com/fibula-net/fibula/ksync/plan"
)

func TestExportIsWellWhileAllIsAsDesired(t *testing.T) {
	now := time.Unix(0, 0)
	x := NewExported(time.Second)
	x.now = func() time.Time { return now }
	synced := func(r ksync.ExportReport) { x.Note(ksync.ExportEvent{Kind: ksync.ExportSynced, Report: &r}) }
	assert.ErrorContains(t, x.Health(), "nothing was compared")
	synced(ksync.ExportReport{Whole: true})
	assert.NoError(t, x.Health())
	wrong := ksync.ExportReport{Failed: 1, Failures: []ksync.Failure{{Op: "add route 10.0.0.0/8", Err: errors.New("EINVAL: no good")}}}
	synced(wrong)
	assert.NoError(t, x.Health(), "it may come yet")
	now = now.Add(time.Second + time.Millisecond)
	synced(wrong)
	assert.ErrorContains(t, x.Health(), "not as desired for 1.001s, where 1s is the limit: 1 refused, 0 in the way, 0 without their link; such as add route 10.0.0.0/8: EINVAL: no good")
	synced(ksync.ExportReport{})
	assert.NoError(t, x.Health())
	x.Note(ksync.ExportEvent{Kind: ksync.ExportRefused, Err: errors.New("a typo")})
	now = now.Add(time.Hour)
	assert.NoError(t, x.Health(), "what is in force is in the kernel")
	x.Note(ksync.ExportEvent{Kind: ksync.ExportGuarded, Err: errors.New("too much")})
	assert.NoError(t, x.Health())
	now = now.Add(2 * time.Second)
	assert.ErrorContains(t, x.Health(), "not as desired for 2s, where 1s is the limit: too much")
	synced(ksync.ExportReport{})
	assert.NoError(t, x.Health())
}

func TestExportIsCounted(t *testing.T) {
	x := NewExported(0)
	reg := prometheus.NewPedanticRegistry()
	require.NoError(t, reg.Register(x))
	x.Count(ksync.OpResult{Verb: plan.Append, Kind: plan.Route}, 3)
	x.Count(ksync.OpResult{Verb: plan.Add, Kind: plan.Nexthop, Errno: fib.EINVAL}, 1)
	x.Note(ksync.ExportEvent{Kind: ksync.ExportRepaired, Times: 7})
	x.Note(ksync.ExportEvent{Kind: ksync.ExportFight})
	x.Note(ksync.ExportEvent{Kind: ksync.ExportSynced, Report: &ksync.ExportReport{Failed: 3, Pending: 1, GivenUp: 2, Conflicts: make([]plan.Conflict, 4)}})
	have := map[string]float64{}
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			have[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	assert.Equal(t, map[string]float64{
		"fibula_operations_total route append ok": 3, "fibula_operations_total nexthop add EINVAL": 1, "fibula_export_repairs_total": 7, "fibula_export_fights_total": 1,
		"fibula_export_overruns_total": 0, "fibula_export_refused_states_total": 0, "fibula_export_comparisons_total changes": 1, "fibula_export_comparisons_total whole": 0,
		"fibula_export_unequal waits": 1, "fibula_export_unequal refused": 2, "fibula_export_unequal conflict": 4, "fibula_export_unequal missing_link": 0, "fibula_export_given_up": 2,
	}, have)
}
