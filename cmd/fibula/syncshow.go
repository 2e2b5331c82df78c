package main

import (
	"bufio"
	"context"
	"fmt"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rebuild"
	"github.com/fibula-net/fibula/ksync"
	"github.com/fibula-net/fibula/ksync/plan"
)

// showPlan prints a plan as lines for "ip -batch", or as JSON, one operation a line.
func (s *syncer) showPlan(ctx context.Context, e *ksync.Exporter, want *fib.Snapshot) error {
	p, err := e.Plan(ctx, want)
	if err != nil {
		return fmt.Errorf("sync: %w", s.a.liveError(err))
	}
	out := bufio.NewWriter(s.a.out)
	b := rebuild.Batch{Links: e.Links()}
	oneFamily := len(s.opt.Owner.Families) == 1
	s.a.wrote = true
	for op := range p.Ops() {
		line, ok := batchLine(&b, &op)
		if oneFamily && len(line) > 3 && line[:3] == "-6 " {
			line = line[3:]
		}
		if !ok {
			line = "# ip has no words for all of it: " + line
		}
		if s.a.json {
			if err := s.a.writeJSON(map[string]any{"op": op.Verb.String(), "object": op.Kind.String(), "ip": line, "expressible": ok}); err != nil {
				return err
			}
			continue
		}
		if _, err := out.WriteString(line + "\n"); err != nil {
			return fmt.Errorf("write the plan: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	for _, c := range p.Conflicts {
		s.a.warn([]string{"in the way: " + c.String()})
	}
	for _, u := range p.Unproven {
		s.a.warn([]string{"a flow may be lost for a moment: " + u})
	}
	if err := p.Counts.Guard(s.maxDelete); err != nil && !s.opt.Force {
		s.a.warn([]string{err.Error()})
	}
	if len(p.Conflicts) > 0 {
		return &exitError{code: exitDisagree}
	}
	return nil
}

// batchLine is one operation in the words of ip.
func batchLine(b *rebuild.Batch, op *plan.Op) (string, bool) {
	verb := op.Verb.String()
	if op.Verb == plan.Delete {
		verb = "del"
	}
	switch op.Kind {
	case plan.Nexthop:
		return b.Nexthop(verb, op.Nexthop)
	case plan.Route:
		return b.Route(verb, op.Route)
	}
	return b.Rule(verb, op.Rule)
}

// syncReport is a report as JSON.
type syncReport struct {
	Event     string                `json:"event,omitempty"`
	InSync    bool                  `json:"in_sync"`
	Counts    map[string]plan.Count `json:"counts"`
	Done      int                   `json:"done"`
	Failed    int                   `json:"failed"`
	Pending   int                   `json:"pending"`
	Missing   plan.Missing          `json:"missing"`
	Failures  []syncFailure         `json:"failures,omitempty"`
	Conflicts []plan.Conflict       `json:"conflicts,omitempty"`
	Unproven  []string              `json:"unproven,omitempty"`
	Seconds   float64               `json:"seconds"`
}

type syncFailure struct {
	Op    string `json:"op"`
	Error string `json:"error"`
}

func reportOf(r *ksync.ExportReport) *syncReport {
	out := &syncReport{InSync: r.InSync(), Done: r.Done, Failed: r.Failed, Pending: r.Pending, Missing: r.Missing,
		Conflicts: r.Conflicts, Unproven: r.Unproven, Seconds: r.Took.Seconds(), Counts: map[string]plan.Count{}}
	for k, c := range r.Counts {
		out.Counts[plan.Kind(k).String()] = c
	}
	for _, f := range r.Failures {
		out.Failures = append(out.Failures, syncFailure{f.Op, f.Err.Error()})
	}
	return out
}

// tell prints what one synchronization did.
func (s *syncer) tell(r *ksync.ExportReport) error {
	if s.a.json {
		return s.a.writeJSON(reportOf(r))
	}
	return s.a.write(s.text(r))
}

func (s *syncer) text(r *ksync.ExportReport) (b []byte) {
	say := func(format string, args ...any) { b = fmt.Appendf(b, format+"\n", args...) }
	for k, c := range r.Counts {
		if c.Desired+c.Owned == 0 {
			continue
		}
		say("%-8s %s desired: %s kept, %s added, %s replaced, %s deleted", plan.Kind(k).String()+"s", number(c.Desired), number(c.Kept),
			number(c.Added), number(c.Replaced), number(c.Deleted))
	}
	for _, f := range r.Failures {
		say("failed: %v", f)
	}
	if more := r.Failed - len(r.Failures); more > 0 {
		say("failed: %s more", number(more))
	}
	if n := r.Missing.Routes + r.Missing.Nexthops; n > 0 {
		say("%s wait for a link that is not there, such as %s", number(n), r.Missing.Example)
	}
	for _, c := range r.Conflicts {
		say("in the way: %v", c)
	}
	if len(b) == 0 {
		say("nothing is desired and nothing was there")
	}
	return b
}

// event tells what happened to an export that runs.
func (s *syncer) event(ev *ksync.ExportEvent) error {
	if ev.Kind == ksync.ExportSynced && ev.Report.Done+ev.Report.Failed == 0 && ev.Report.InSync() && s.told {
		return nil // as it was
	}
	s.told = true
	if s.a.json {
		return s.a.writeJSON(s.eventJSON(ev))
	}
	var b []byte
	switch ev.Kind {
	case ksync.ExportSynced:
		b = s.text(ev.Report)
	case ksync.ExportRepaired:
		b = fmt.Appendf(nil, "repaired %s\n", number(ev.Times))
	case ksync.ExportFight:
		b = fmt.Appendf(nil, "%s was taken away %d times, last by %v: left so for %v\n", ev.Object, ev.Times, ev.Writer, ev.Wait)
	case ksync.ExportOverflow:
		b = []byte("changes were missed; everything is compared\n")
	case ksync.ExportRefused:
		s.a.warn([]string{"the new state is not accepted, the last one stays: " + ev.Err.Error()})
		return nil
	case ksync.ExportGuarded:
		s.a.warn([]string{"what is not desired is left, and nothing is mended: " + ev.Err.Error()})
		return nil
	}
	return s.a.write(b)
}

func (s *syncer) eventJSON(ev *ksync.ExportEvent) any {
	if ev.Report != nil {
		r := reportOf(ev.Report)
		r.Event = string(ev.Kind)
		return r
	}
	out := map[string]any{"event": ev.Kind}
	switch ev.Kind {
	case ksync.ExportRepaired:
		out["times"] = ev.Times
	case ksync.ExportFight:
		out["object"], out["times"], out["wait_seconds"] = ev.Object, ev.Times, ev.Wait.Seconds()
		out["port"], out["process"] = ev.Writer.Port, ev.Writer.Process
	case ksync.ExportRefused, ksync.ExportGuarded:
		out["error"] = ev.Err.Error()
	}
	return out
}
