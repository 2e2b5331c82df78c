package ksync

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/flowgen"
)

const (
	// segment is how many flows are compared between two looks at those that
	// differ; chunk how many one goroutine takes at a time.
	segment = 1 << 16
	chunk   = 1 << 10
	// coverageStep: the story of one flow in so many is counted, since telling it
	// costs more than the answer.
	coverageStep = 16
)

// Verify compares our answers with the kernel's for flows that aim at the
// boundaries of what a namespace holds, in every field, plain and with fibmatch.
//
// It changes nothing in the namespace. An answer counts as a disagreement only if
// it differs from a fresh load of a namespace that rested meanwhile; what differs
// because the namespace changed is compared again. Disagreements of one cause are
// one [Disagreement]; the first few are shrunk in scratch namespaces.
//
// The error is for a verification that did not take place, or could not be
// finished, in which case the report has what was found until then: as for [Load];
// [ErrUnstable].
func Verify(ctx context.Context, opt VerifyOptions) (VerifyReport, error) {
	v := &verifier{opt: opt, rows: map[VerifyRow]*VerifyRow{}, groups: map[string]*Disagreement{}}
	v.report = VerifyReport{Seed: opt.Seed, Coverage: Coverage{}}
	v.opt.Flows = cmp.Or(opt.Flows, defaultFlows)
	v.opt.Groups = cmp.Or(opt.Groups, defaultGroups)
	v.opt.Shrink = cmp.Or(opt.Shrink, defaultShrink)
	begin := time.Now()
	err := v.run(ctx)
	v.report.Compared = time.Since(begin)
	v.finish(ctx)
	return v.report, err
}

type verifier struct {
	opt    VerifyOptions
	report VerifyReport
	s      *fib.Snapshot

	mu     sync.Mutex // guards rows, report's counts and suspects while a segment is compared
	rows   map[VerifyRow]*VerifyRow
	groups map[string]*Disagreement
	causes []string // in order of appearance
}

func (v *verifier) options() Options {
	return Options{NetNS: v.opt.NetNS, Config: v.opt.Config, Logger: v.opt.Logger}
}

func (v *verifier) load(ctx context.Context) (*fib.Snapshot, error) {
	return loadAltered(ctx, v.options(), v.opt.Alter)
}

func (v *verifier) run(ctx context.Context) error {
	opt := v.options()
	opt.Progress, opt.Report = v.opt.Progress, &v.report.Unmodelled
	there, err := loadAltered(ctx, opt, nil) // flows aim at what is there, not at what is made of it
	if err != nil {
		return err
	}
	if v.s = there; v.opt.Alter != nil {
		if v.s, err = v.load(ctx); err != nil {
			return err
		}
	}
	k := v.s.Kernel()
	v.report.Kernel = fmt.Sprintf("%d.%d.%d", k.Major, k.Minor, k.Patch)
	comparers := make([]*comparer, runtime.GOMAXPROCS(0))
	for i := range comparers {
		q, err := OpenQuerier(v.opt.NetNS)
		if err != nil {
			return err
		}
		defer q.Close()
		comparers[i] = &comparer{q: q}
	}
	g := flowgen.New(there, v.opt.Seed, flowgen.Options{Input: true, Family: v.opt.Family})
	for flows := range ahead(ctx, pieces(g.Flows(v.opt.Flows), segment)) {
		suspects, err := v.segment(ctx, comparers, flows)
		if err != nil {
			return err
		}
		if len(suspects) > 0 {
			if err := v.settle(ctx, comparers[0].q, suspects); err != nil {
				return err
			}
		}
		v.progress("flows compared", v.report.Flows)
	}
	return ctx.Err()
}

func (v *verifier) progress(stage string, n int) {
	if v.opt.Progress != nil {
		v.opt.Progress(stage, n)
	}
}

// pieces cuts a sequence into slices of n.
func pieces[T any](seq iter.Seq[T], n int) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		var piece []T
		for x := range seq {
			if piece = append(piece, x); len(piece) == n {
				if !yield(piece) {
					return
				}
				piece = nil
			}
		}
		if len(piece) > 0 {
			yield(piece)
		}
	}
}

// ahead makes the next element in a goroutine while the present one is in use.
func ahead[T any](ctx context.Context, seq iter.Seq[T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		ch := make(chan T, 1)
		go func() {
			defer close(ch)
			for x := range seq {
				select {
				case ch <- x:
				case <-ctx.Done():
					return
				}
			}
		}()
		for x := range ch {
			if !yield(x) {
				return
			}
		}
	}
}

// segment compares flows, several chunks at a time, counts all but those that
// differ, and returns these in order.
func (v *verifier) segment(ctx context.Context, comparers []*comparer, flows []fib.Flow) ([]fib.Flow, error) {
	work := make(chan int, len(flows)/chunk+1) // where chunks begin
	for at := 0; at < len(flows); at += chunk {
		work <- at
	}
	close(work)
	var (
		wg       sync.WaitGroup
		suspects []int
		failed   error
	)
	for _, c := range comparers {
		wg.Go(func() {
			for at := range work {
				part := flows[at:min(at+chunk, len(flows))]
				out, err := c.compare(v.s, part)
				if err == nil {
					err = ctx.Err()
				}
				cov := v.stories(part)
				v.mu.Lock()
				if err != nil {
					failed = err
					v.mu.Unlock()
					return
				}
				v.report.Coverage.Merge(cov)
				for i := range out {
					if out[i].kind == different {
						suspects = append(suspects, at+i)
					} else {
						v.count(&part[i], out[i])
					}
				}
				v.mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(suspects)
	out := make([]fib.Flow, len(suspects))
	for i, n := range suspects {
		out[i] = flows[n]
	}
	return out, failed
}

func (v *verifier) stories(flows []fib.Flow) Coverage {
	c := Coverage{}
	for i := 0; i < len(flows); i += coverageStep {
		e := v.s.Explain(flows[i])
		c.Add(&e)
	}
	return c
}

// count enters what came of a flow. v.mu is held, or nobody else is there.
func (v *verifier) count(f *fib.Flow, got verdict) {
	key := VerifyRow{Family: familyWord(f.Family()), Direction: directionWord(f), Outcome: got.outcome}
	row := v.rows[key]
	if row == nil {
		c := key
		row = &c
		v.rows[key] = row
	}
	row.Flows++
	v.report.Flows++
	switch got.kind {
	case same:
		v.report.Agree++
	case different:
		v.report.Differ++
		row.Differ++
	case unknown:
		v.report.Unknown++
		row.Unknown++
	case historic:
		v.report.History++
		row.Unknown++
	case unanswered:
		v.report.Unanswered++
		row.Unknown++
	}
}

// settleAttempts bounds how often flows that differ are asked again because the
// namespace did not rest.
const settleAttempts = 8

// settle finds out which flows are still answered differently after a fresh load.
// It needs a moment without changes if any are.
func (v *verifier) settle(ctx context.Context, q *Querier, flows []fib.Flow) error {
	for range settleAttempts {
		rest, answers, err := v.again(ctx, q, flows)
		if err != nil {
			return err
		}
		if rest {
			h := newHistory(v.s, v.s.State())
			for i := range answers {
				v.judge(&answers[i], h)
			}
			return nil
		}
	}
	return fmt.Errorf("%v: %w: %d answers differ, but it did not rest once in %d tries", v.opt.NetNS, ErrUnstable, len(flows), settleAttempts)
}

// again loads the namespace anew and asks about flows. rest says that the answers
// can be relied upon: nothing changed meanwhile, or all agree.
func (v *verifier) again(ctx context.Context, q *Querier, flows []fib.Flow) (rest bool, answers []Answer, err error) {
	w, err := openWatch(ctx, v.opt.NetNS)
	if err != nil {
		return false, nil, err
	}
	defer w.close()
	gracePeriod()
	before, err := v.load(ctx)
	if err != nil {
		return false, nil, err
	}
	differ := 0
	for i := range flows {
		a, err := ask(before, q, flows[i])
		if err != nil {
			return false, nil, err
		}
		if len(a.Differences) > 0 {
			differ++
		}
		answers = append(answers, a)
		if i%chunk == 0 && ctx.Err() != nil {
			return false, nil, ctx.Err()
		}
	}
	if differ > 0 {
		changed, err := w.changed()
		if err != nil {
			return false, nil, err
		}
		after, err := v.load(ctx)
		if err != nil {
			return false, nil, err
		}
		if changed || !sameAnswers(before.State(), after.State()) {
			v.note("the namespace changed while it was verified")
			v.report.Reloads++
			return false, nil, nil
		}
	}
	if !sameAnswers(v.s.State(), before.State()) {
		v.note("the namespace changed; loaded it again")
		v.report.Reloads++
	}
	v.s = before
	return true, answers, nil
}

func (v *verifier) note(what string) {
	if v.opt.Logger != nil {
		v.opt.Logger.Info(what, slog.String("namespace", v.opt.NetNS.String()))
	}
}

// judge counts an answer that was asked for after a fresh load.
func (v *verifier) judge(a *Answer, h *history) {
	got := verdict{outcome: Outcome(&a.Ours)}
	switch {
	case a.Ours.Undetermined != 0:
		got.kind = unknown
	case Unanswerable(a.Flow, a.KernelErrno):
		got.kind = unanswered
	case len(a.Differences) == 0:
	case h.explains(a):
		got.kind = historic
	default:
		got.kind = different
		v.disagree(a)
	}
	v.count(&a.Flow, got)
}

func (v *verifier) disagree(a *Answer) {
	c := a.cause()
	g := v.groups[c]
	if g == nil {
		v.causes = append(v.causes, c)
		g = &Disagreement{Answer: *a}
		v.groups[c] = g
		if len(v.causes) <= v.opt.Groups {
			g.Explanation, g.State = v.s.Explain(a.Flow), v.s.State()
		}
	}
	g.Count++
}

// finish sorts what was counted and looks for reproductions.
func (v *verifier) finish(ctx context.Context) {
	r := &v.report
	for _, row := range v.rows {
		r.Rows = append(r.Rows, *row)
	}
	slices.SortFunc(r.Rows, func(a, b VerifyRow) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), -cmp.Compare(a.Direction, b.Direction), cmp.Compare(b.Flows, a.Flows),
			cmp.Compare(a.Outcome, b.Outcome))
	})
	r.MoreGroups = max(len(v.causes)-v.opt.Groups, 0)
	alike := map[string]int{} // what a reproduction needs, and the group that has it
	for i, c := range v.causes[:min(len(v.causes), v.opt.Groups)] {
		g := *v.groups[c]
		switch {
		case v.opt.NoShrink || ctx.Err() != nil:
			g.NoRepro = "none was looked for"
		case i >= v.opt.Shrink:
			g.NoRepro = fmt.Sprintf("none was looked for: only the first %d are shrunk", v.opt.Shrink)
		default:
			st, err := v.intact(ctx, &g)
			if err == nil {
				g.Repro, err = v.opt.shrink(ctx, st, &g.Answer)
			}
			if err != nil {
				g.NoRepro = noRepro(err)
				break
			}
			needs := fmt.Sprint(g.Repro.Commands[:len(g.Repro.Commands)-1], g.Repro.Answer.Differences)
			if first, ok := alike[needs]; ok {
				r.Groups[first].Count += g.Count // one cause after all
				continue
			}
			alike[needs] = len(r.Groups)
		}
		r.Groups = append(r.Groups, g)
	}
}

// intact is the state to rebuild: that of the namespace, without what Alter does
// to it.
func (v *verifier) intact(ctx context.Context, g *Disagreement) (*fib.State, error) {
	if v.opt.Alter == nil {
		return g.State, nil
	}
	st, _, err := Scan(ctx, v.options())
	return &st, err
}
