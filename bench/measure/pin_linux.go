package measure

import (
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Pin keeps the calling goroutine on one thread and that on one core: cpu, or with a
// negative number the last that the process may use, since the first has most of the
// interrupts. Call undo on the same goroutine.
func Pin(cpu int) (on int, undo func(), err error) {
	runtime.LockOSThread()
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		runtime.UnlockOSThread()
		return 0, nil, fmt.Errorf("sched_getaffinity: %w", err)
	}
	if cpu < 0 {
		for i := range len(before) * 64 {
			if before.IsSet(i) {
				cpu = i
			}
		}
	}
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		runtime.UnlockOSThread()
		return 0, nil, fmt.Errorf("pin to core %d: %w", cpu, err)
	}
	return cpu, func() {
		_ = unix.SchedSetaffinity(0, &before) // as it was: cannot fail
		runtime.UnlockOSThread()
	}, nil
}

// CPU is the processor time that the calling thread has used. A goroutine that
// compares two of its values must be pinned.
func CPU() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// CPUTime says whether CPU is processor time, or else the clock's.
const CPUTime = true
