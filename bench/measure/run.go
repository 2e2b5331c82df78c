package measure

import (
	"context"
	"runtime"
	"runtime/debug"
	"time"
)

// Task is one of several things to be compared.
type Task struct {
	Name string
	// Pass does n of what is measured, from the given one on.
	Pass func(from, n int)
	// Timed does the same for what runs on another thread, and tells its processor time.
	Timed func(from, n int) time.Duration
	Len   int // passes wrap round after so many
	Step  int // how many at a time, 0: 256; few where one takes long

	at int
}

// Options say how long to measure. The zero value measures briefly.
type Options struct {
	Runs int           // 0: 3
	Each time.Duration // of processor time for each task and run; 0: 100 ms
	// Most bounds a run besides: what a stream holds, so that each query is asked as
	// often as any other. 0: no bound.
	Most int
}

// Alternate runs the tasks in turn, opt.Runs times, after a warm-up of each that does
// not count, and returns for each the nanoseconds of processor time for one of what
// it does. done, if not nil, is told after each run. The calling goroutine should be
// pinned. The garbage collector rests meanwhile.
func Alternate(ctx context.Context, opt Options, tasks []*Task, done func(t *Task, run int)) ([]Spread, error) {
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runs := make([][]float64, len(tasks))
	for r := -1; r < max(opt.Runs, 1); r++ {
		for i, t := range tasks {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			each := opt.each()
			if r < 0 { // the warm-up
				each /= 4
			}
			ns := t.run(each, opt.Most)
			if r >= 0 {
				runs[i] = append(runs[i], ns)
			}
			if done != nil {
				done(t, r)
			}
			collectIfLarge()
		}
	}
	out := make([]Spread, len(tasks))
	for i := range tasks {
		out[i] = Of(runs[i])
	}
	return out, nil
}

func (o *Options) each() time.Duration {
	if o.Each == 0 {
		return 100 * time.Millisecond
	}
	return o.Each
}

// run passes until the time is up and returns nanoseconds for each.
func (t *Task) run(each time.Duration, most int) float64 {
	step := t.Step
	if step == 0 {
		step = 256
	}
	if most == 0 {
		most = 1 << 62
	}
	done, begin, took := 0, CPU(), time.Duration(0)
	for look := step; ; { // between two looks at the clock, which so cost nothing
		for until := min(done+look, most); done < until; {
			n := min(step, t.Len-t.at, until-done)
			if t.Timed != nil {
				took += t.Timed(t.at, n)
			} else {
				t.Pass(t.at, n)
			}
			done += n
			if t.at += n; t.at >= t.Len {
				t.at = 0
			}
		}
		if t.Timed == nil {
			took = CPU() - begin
		}
		if took >= each || done >= most {
			return float64(took.Nanoseconds()) / float64(done)
		}
		// Twice as many next time, but no more than what seems to be left.
		left := float64(each-took) / float64(max(took, 1)) * float64(done)
		look = max(min(2*look, int(left)), step)
	}
}

// collectIfLarge lets garbage go between runs, where a task makes any.
func collectIfLarge() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 2*m.NextGC {
		runtime.GC()
	}
}
