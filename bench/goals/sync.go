package goals

import (
	"github.com/fibula-net/fibula/bench/lockstep"
)

// sync are the goals for a million IPv4 routes of a kernel.
func sync() (g []goal) {
	ours := func(load string) fig { return fig{Suite: "sync", Engine: lockstep.Fibula, Load: load} }
	limit := func(name, unit string, target float64, load string) {
		g = append(g, goal{name, unit, target, true, take(ours(load))})
	}
	raw := func(name string, target float64, load string) {
		g = append(g, goal{name, "times the time", target, true, slowerBy(ours(load), fig{Suite: "sync", Engine: lockstep.Raw, Load: load})})
	}
	limit("cold start to an exact mirror", "s", 1.2, lockstep.Start)
	limit("cold start to an exact mirror, processor time", "s", 1.2, lockstep.StartCPU)
	limit("memory of a mirror, the whole process", "B/route", 150, lockstep.Memory)
	raw("export inline / raw netlink", 1.15, lockstep.Export)
	raw("export by nexthop id / raw netlink", 1.15, lockstep.ByID)
	raw("withdraw / raw deletions by key", 1.25, lockstep.Withdraw)
	limit("overflows of an export's subscription by its own writes", "times", 0, lockstep.Overflows)
	limit("resyncs of a mirror beside an export", "times", 0, lockstep.Resyncs)
	limit("full audit, processor time", "s", 0.8, lockstep.AuditCPU)
	limit("longest pause of a reader beside an audit", "ms", 1, lockstep.PauseAudit)
	limit("exact again after a storm of 1M changes that overflowed the socket", "s", 1.5, lockstep.Storm)
	limit("withdrawal of 1M routes behind a dead link, visible to readers", "ms", 50, lockstep.DeadLink)
	limit("withdrawal of 1M routes behind a deleted nexthop, visible to readers", "ms", 50, lockstep.DeadNexthop)
	limit("repair of a foreign deletion of 1 route", "ms", 10, lockstep.Repair1)
	limit("repair of a foreign deletion of 1,000 routes", "ms", 50, lockstep.Repair1k)
	limit("repair of a foreign deletion of 100,000 routes", "ms", 500, lockstep.Repair100k)
	limit("routes lost or left after kill -9 in an export and a restart", "routes", 0, lockstep.Killed)
	return g
}
