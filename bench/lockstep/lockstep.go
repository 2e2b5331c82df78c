package lockstep

import (
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/fibula-net/fibula/bench/measure"
	"github.com/fibula-net/fibula/bench/results"
	"github.com/fibula-net/fibula/bench/tables"
)

// Config says what to measure with.
type Config struct {
	Table *tables.Table // of which the IPv4 prefixes are taken
	Runs  int
	Seed  uint64
	// Fibula is the command that starts fibula, for what is measured of a process.
	Fibula   []string
	Progress func(stage string, n int)
}

// Full is how many prefixes the goals are set for.
const Full = 1_000_000

// prefixes are those of a table in random order. The real table is filled up to a number; what
// covers the gateways' network is left out.
func (c *Config) prefixes(full int) []netip.Prefix {
	all := tables.Of("", "", c.Table.V4).V4
	if c.Table.Name == "real" && len(all) < full {
		more := tables.Synthetic(full/2, 0, c.Seed).V4
		known := make(map[netip.Prefix]struct{}, len(all))
		for _, p := range all {
			known[p] = struct{}{}
		}
		for _, p := range more {
			if _, ok := known[p]; !ok && len(all) < full+spare {
				all = append(all, p)
			}
		}
	}
	all = slices.DeleteFunc(all, func(p netip.Prefix) bool { return p.Overlaps(gatewayNet) })
	rand.New(rand.NewPCG(c.Seed, 0x73796e63)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if c.Table.Name == "real" {
		all = all[:min(len(all), full)]
	}
	return all
}

// samples are some prefixes from the first to the last, so that who works in order has not met
// all of them before its end. None has the address of a longer one, which would hide it.
func samples(all []netip.Prefix, n int) (out []netip.Prefix) {
	at := make(map[netip.Addr]int, len(all))
	for _, p := range all {
		at[p.Addr()]++
	}
	alone := make([]netip.Prefix, 0, len(all))
	for _, p := range all {
		if at[p.Addr()] == 1 {
			alone = append(alone, p)
		}
	}
	n = min(n, len(alone))
	for i := range n {
		out = append(out, alone[i*(len(alone)-1)/max(n-1, 1)])
	}
	return out
}

// spare is for prefixes that are left out.
const spare = 1000

var (
	gatewayNet = netip.MustParsePrefix("10.0.0.0/24")
	gateway    = netip.MustParseAddr("10.0.0.9")
	gateway2   = netip.MustParseAddr("10.0.0.10")
)

// The engines of figures: who did it.
const (
	Fibula = "fibula"
	Raw    = "raw netlink"
	BIRD   = "BIRD"
	Zebra  = "zebra"
)

// What is measured: the loads of figures.
const (
	Start         = "start until equal"
	StartCPU      = "start until equal, CPU"
	Memory        = "memory of the process"
	Heap          = "live heap of a mirror"
	AuditCPU      = "full audit, CPU"
	PauseIdle     = "longest reader pause, idle"
	PauseAudit    = "longest reader pause, audit"
	PauseIdleAll  = "the same with waits for a processor, idle"
	PauseAuditAll = "the same with waits for a processor, audit"
	Storm         = "exact after a storm"
	DeadLink      = "withdrawal behind a dead link"
	DeadNexthop   = "withdrawal behind a deleted nexthop"
	Export        = "export inline"
	ExportCPU     = "export inline, CPU"
	ByID          = "export by nexthop id"
	ByIDCPU       = "export by nexthop id, CPU"
	Withdraw      = "withdraw"
	WithdrawCPU   = "withdraw, CPU"
	Idle          = "comparison when equal, CPU"
	Overflows     = "overflows by own writes"
	Resyncs       = "resyncs of a mirror beside an export"
	Repair1       = "repair of 1"
	Repair1k      = "repair of 1,000"
	Repair100k    = "repair of 100,000"
	Killed        = "routes lost or left after kill -9"
)

// The units of figures.
const (
	Seconds = "s"
	Millis  = "ms"
	Count   = "count"
)

// recorder collects what runs measure and makes figures of it, in the order in which they came.
type recorder struct {
	n     int // routes
	order []results.Figure
}

// add notes one run.
func (r *recorder) add(engine, load, unit string, value float64) {
	i := slices.IndexFunc(r.order, func(f results.Figure) bool { return f.Engine == engine && f.Load == load })
	if i < 0 {
		i = len(r.order)
		r.order = append(r.order, results.Figure{Suite: "sync", Engine: engine, Load: load, Unit: unit, Family: "inet", Routes: r.n})
	}
	r.order[i].Value.Runs = append(r.order[i].Value.Runs, value)
}

// figures are all that was noted.
func (r *recorder) figures(to *results.Run) {
	for _, f := range r.order {
		f.Value = measure.Of(f.Value.Runs)
		to.Add(f)
	}
}

func repairOf(n int) string {
	return map[int]string{1: Repair1, 1000: Repair1k, 100_000: Repair100k}[n]
}
