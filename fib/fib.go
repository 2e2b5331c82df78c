package fib

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/fibula-net/fibula/lookup"
	"github.com/fibula-net/fibula/lookup/flat"
	"github.com/fibula-net/fibula/rules"
)

// Config says how a FIB works. Its zero value is a working configuration.
type Config struct {
	Engine lookup.Engine // of the tables; nil: flat
	Kernel KernelVersion // whose behaviour to follow; zero: the newest known
}

// FIB is one network namespace's routing state, with any number of readers and
// one writer at a time.
type FIB struct {
	cur    atomic.Pointer[Snapshot]
	engine lookup.Engine
	kernel KernelVersion // as configured; a loaded state may name another

	mu sync.Mutex // serializes Update; readers never take it
	in *intern    // guarded by mu
}

// New returns a FIB as a new network namespace has it: the initial rules (A3) and
// address labels, and nothing else. Instances share nothing.
func New(c Config) *FIB {
	if c.Engine == nil {
		c.Engine = flat.Engine{}
	}
	f := &FIB{engine: c.Engine, kernel: c.Kernel, in: newIntern()}
	f.cur.Store(newSnapshot(c.Kernel))
	return f
}

func newSnapshot(k KernelVersion) *Snapshot {
	s := &Snapshot{
		mode4: ModeMerged, mode6: ModeMerged, userLocal: FactNo,
		rules4: rules.Initial(Inet), rules6: rules.Initial(Inet6),
		tables:  map[tableKey]*table{},
		byName:  map[string]int32{},
		links:   map[int32]*link{},
		owner4:  map[netip.Addr]int32{},
		neighs:  map[neighKey]Neighbour{},
		objects: map[uint32]*object{},
		labels:  DefaultAddrLabels(),
		sysctls: DefaultSysctls(),
	}
	sortLabels(s.labels)
	s.setKernel(k)
	return s
}

// Snapshot returns the current snapshot. It costs one atomic load, waits for
// nobody and does not allocate.
func (f *FIB) Snapshot() *Snapshot { return f.cur.Load() }

// Result tells what a transaction changed.
type Result struct {
	Generation    uint64 // of the snapshot that now is current
	Changed       bool   // false: nothing was published
	RoutesAdded   int    // aliases entered, derived ones included
	RoutesRemoved int    // aliases removed, derived ones included
}

// Update runs fn on a transaction and publishes what it did as one new
// generation. If fn returns an error (or panics) nothing of it remains, and
// Update returns that error unchanged. A transaction none of whose operations
// changed anything publishes nothing.
//
// An operation of the transaction that fails leaves no trace of its own, so fn
// may also go on after an error that it expects, such as EEXIST.
//
// Update is safe for concurrent use; one transaction runs at a time, so fn must not
// call Update of the same FIB. The Txn must not be used after fn has returned.
func (f *FIB) Update(fn func(*Txn) error) (Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tx := f.begin()
	defer tx.abort() // harmless after a commit
	if err := fn(tx); err != nil {
		return Result{Generation: tx.base.gen}, err
	}
	return tx.commit(), nil
}
