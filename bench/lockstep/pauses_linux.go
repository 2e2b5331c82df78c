package lockstep

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/ksync"
)

// reader resolves flows without a rest, on a thread of its own that the machine prefers to
// others, and notes the longest time from the end of one answer to the end of the next.
//
// Go's scheduler interrupts what has run for 10 ms; a goroutine with a thread of its own then waits for
// another thread, of the usual priority, to give it a turn. So it asks for one more often, and does
// not count how long it takes: nothing is read meanwhile, and who has to wait for what it reads
// would wait in the next turn.
type reader struct {
	stop    chan struct{}
	longest chan pause
}

// pause is the longest time, and the longest without what the thread waited for a processor
// while the machine gave it to others.
type pause struct{ all, own time.Duration }

// read starts a reader. Processors for Go's scheduler are added for it, so that what it waits for
// is the machine or what it reads, and not its turn among goroutines.
func read(f *fib.FIB, all []netip.Prefix) *reader {
	r := &reader{stop: make(chan struct{}), longest: make(chan pause)}
	procs := runtime.GOMAXPROCS(runtime.NumCPU() + 2)
	go func() {
		runtime.LockOSThread() // ends with the goroutine, and its priority with it
		_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -20)
		stat, err := os.Open("/proc/thread-self/schedstat")
		if err == nil {
			defer stat.Close()
		}
		var longest pause
		turn, last, waited := time.Now(), time.Now(), waitedFor(stat)
		for i := 0; ; i++ {
			if last.Sub(turn) > turnTime {
				runtime.Gosched()
				turn, last, waited = time.Now(), time.Now(), waitedFor(stat)
			}
			select {
			case <-r.stop:
				runtime.GOMAXPROCS(procs)
				r.longest <- longest
				return
			default:
			}
			f.Snapshot().Resolve(fib.Flow{Dst: all[i%len(all)].Addr()})
			now, w := time.Now(), waitedFor(stat)
			gap := now.Sub(last)
			longest.all, longest.own = max(longest.all, gap), max(longest.own, gap-(w-waited))
			last, waited = now, w
		}
	}()
	return r
}

// turnTime is half of what Go's scheduler grants.
const turnTime = 5 * time.Millisecond

// waitedFor is how long a thread has been ready to run without a processor; 0 where the kernel does not
// count that. It tells Go's scheduler nothing of its call, which could give the turn to another.
func waitedFor(stat *os.File) time.Duration {
	var buf [64]byte
	n, _, e := unix.RawSyscall6(unix.SYS_PREAD64, stat.Fd(), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0, 0)
	if e != 0 {
		return 0
	}
	_, rest, _ := bytes.Cut(buf[:n], []byte(" "))
	wait, _, _ := bytes.Cut(rest, []byte(" "))
	ns, _ := strconv.ParseInt(string(wait), 10, 64)
	return time.Duration(ns)
}

func (b *run) pause(r *reader, all, own string) {
	close(r.stop)
	p := <-r.longest
	b.add(Fibula, own, Millis, float64(p.own.Microseconds())/1000)
	b.add(Fibula, all, Millis, float64(p.all.Microseconds())/1000)
}

// pauses compares how long a reader has to wait at most, idle and beside an audit.
func (b *run) pauses(ctx context.Context, m *ksync.Mirrored) error {
	b.said("readers beside an audit", 0)
	if err := m.Sync(ctx); err != nil {
		return err
	}
	runtime.GC()
	at := time.Now()
	r := read(m.FIB(), b.all)
	_, err := m.Audit(ctx)
	b.pause(r, PauseAuditAll, PauseAudit)
	if err != nil {
		return err
	}
	r = read(m.FIB(), b.all)
	err = sleep(ctx, time.Since(at))
	b.pause(r, PauseIdleAll, PauseIdle)
	return err
}
