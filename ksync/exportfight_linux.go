package ksync

import (
	"time"
)

// How a fight is told from a repair: fightTimes losses of one object, each less than
// fightWindow after the last repair. Then nothing is done about it for fightWait, and
// twice as long after each further one.
const (
	fightTimes    = 5
	fightWindow   = 10 * time.Second
	fightWait     = time.Second
	fightLongest  = 5 * time.Minute
	fightersLimit = 100_000 // objects that are remembered
)

// fights remembers what others take away again and again.
type fights struct {
	objects map[objectKey]*fight
	now     func() time.Time
	forgot  time.Time // when it was last looked for what was quiet: that costs all objects
}

func newFights(now func() time.Time) fights {
	return fights{objects: map[objectKey]*fight{}, now: now}
}

type fight struct {
	times int
	last  time.Time
	wait  time.Duration
	until time.Time // nothing is done before
}

// lost notes that an object was lost, and returns how long to leave it so: 0 to mend it
// now. begun is set when that is news. Beyond a limit of objects new ones are not
// remembered until others were quiet.
func (f *fights) lost(k objectKey) (times int, wait time.Duration, begun bool) {
	now := f.now()
	x := f.objects[k]
	if x == nil {
		if len(f.objects) >= fightersLimit && now.Sub(f.forgot) > fightWindow {
			f.forget(now)
		}
		x = &fight{}
		if len(f.objects) < fightersLimit {
			f.objects[k] = x
		}
	}
	if now.Before(x.until) {
		return x.times, x.until.Sub(now), false
	}
	if now.Sub(x.last) > max(fightWindow, 2*x.wait) {
		*x = fight{}
	}
	x.times, x.last = x.times+1, now
	if x.times < fightTimes {
		return x.times, 0, false
	}
	x.wait = min(max(2*x.wait, fightWait), fightLongest)
	x.until = now.Add(x.wait)
	return x.times, x.wait, true
}

// waiting reports whether an object is left as it is for now.
func (f *fights) waiting(k objectKey) bool {
	x := f.objects[k]
	return x != nil && f.now().Before(x.until)
}

// next is when the first wait is over; zero: none.
func (f *fights) next() (at time.Time) {
	now := f.now()
	for _, x := range f.objects {
		if now.Before(x.until) && (at.IsZero() || x.until.Before(at)) {
			at = x.until
		}
	}
	return at
}

// forget drops what was quiet.
func (f *fights) forget(now time.Time) {
	f.forgot = now
	for k, x := range f.objects {
		if now.Sub(x.last) > max(fightWindow, 2*x.wait) {
			delete(f.objects, k)
		}
	}
}
