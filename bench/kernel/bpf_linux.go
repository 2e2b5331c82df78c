package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"

	"github.com/fibula-net/fibula/bench/measure"
	"github.com/fibula-net/fibula/bench/rulesets"
	"github.com/fibula-net/fibula/bench/streams"
	"github.com/fibula-net/fibula/fib"
)

// Prober asks through bpf_fib_lookup: a program that takes the next queries of an
// array at each run, and stores the answers beside them. It must be closed.
type Prober struct {
	k       *Kernel
	prog    *ebpf.Program
	queries *ebpf.Map
	cursor  *ebpf.Map
	size    int
}

const (
	// perRun is how many queries one run of the program asks: enough that the run itself
	// costs nothing, and few enough for the kernel to see that the loop ends.
	perRun = 256

	// An entry of the array: destination, gateway, result.
	entryDst, entryGateway, entryResult, entrySize = 0, 16, 32, 40

	// struct bpf_fib_lookup.
	paramFamily, paramLink, paramSrc, paramDst, paramSize = 0, 8, 16, 32, 64

	skipNeigh = 1 << 2 // BPF_FIB_LOOKUP_SKIP_NEIGH: routing alone, as the others do
)

// NewProber loads the program, and the queries of a stream of at least 256.
func (k *Kernel) NewProber(s *streams.Stream) (*Prober, error) {
	if s.Len() < perRun {
		return nil, fmt.Errorf("a stream of %d queries, fewer than %d", s.Len(), perRun)
	}
	if err := rlimit.RemoveMemlock(); err != nil { // older kernels count maps there
		return nil, err
	}
	p := &Prober{k: k, size: s.Len()}
	var err error
	p.queries, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: entrySize, MaxEntries: uint32(s.Len())})
	if err == nil {
		p.cursor, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	}
	if err == nil {
		err = p.fill(s)
	}
	if err == nil {
		// The kernel lets only programs that the GPL covers call bpf_fib_lookup: these few
		// instructions may be used under it, or as MIT.
		p.prog, err = ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "Dual MIT/GPL", Instructions: program(p, s.Family)})
	}
	if err != nil {
		p.Close()
		var verifier *ebpf.VerifierError
		if errors.As(err, &verifier) {
			return nil, fmt.Errorf("bpf_fib_lookup: %+v", verifier)
		}
		return nil, fmt.Errorf("bpf_fib_lookup: %w", err)
	}
	return p, nil
}

// Close frees the program and its maps.
func (p *Prober) Close() {
	for _, m := range []*ebpf.Map{p.queries, p.cursor} {
		if m != nil {
			_ = m.Close()
		}
	}
	if p.prog != nil {
		_ = p.prog.Close()
	}
}

func (p *Prober) fill(s *streams.Stream) error {
	keys, values := make([]uint32, s.Len()), make([][entrySize]byte, s.Len())
	for i := range keys {
		keys[i] = uint32(i)
		copy(values[i][entryDst:], s.Addr(i).AsSlice())
	}
	_, err := p.queries.BatchUpdate(keys, values, nil)
	return err
}

// program asks for perRun queries from the cursor on, which it moves.
func program(p *Prober, f fib.Family) asm.Instructions {
	const keyAt, paramsAt = -(paramSize + 8), -paramSize
	lookup := func(m *ebpf.Map) asm.Instructions { // R0 = entry whose key is at keyAt
		return asm.Instructions{
			asm.LoadMapPtr(asm.R1, m.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, keyAt),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "end"),
		}
	}
	in := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1), asm.StoreImm(asm.RFP, keyAt, 0, asm.Word)}
	in = append(in, lookup(p.cursor)...)
	in = append(in,
		asm.LoadMem(asm.R8, asm.R0, 0, asm.DWord), // the first query
		asm.Mov.Reg(asm.R1, asm.R8), asm.Add.Imm(asm.R1, perRun), asm.And.Imm(asm.R1, int32(p.size-1)),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R7, 0),
		asm.Mov.Reg(asm.R1, asm.R8).WithSymbol("next"), asm.Add.Reg(asm.R1, asm.R7), asm.And.Imm(asm.R1, int32(p.size-1)),
		asm.StoreMem(asm.RFP, keyAt, asm.R1, asm.Word),
	)
	in = append(in, lookup(p.queries)...)
	in = append(in, asm.Mov.Reg(asm.R9, asm.R0), asm.Mov.Imm(asm.R1, 0))
	for at := int16(0); at < paramSize; at += 8 {
		in = append(in, asm.StoreMem(asm.RFP, paramsAt+at, asm.R1, asm.DWord))
	}
	in = append(in,
		asm.StoreImm(asm.RFP, paramsAt+paramFamily, int64(f), asm.Byte),
		asm.StoreImm(asm.RFP, paramsAt+paramLink, rulesets.Uplink, asm.Word))
	for at := int16(0); at < 16; at += 8 {
		in = append(in, asm.LoadMem(asm.R1, asm.R9, entryDst+at, asm.DWord), asm.StoreMem(asm.RFP, paramsAt+paramDst+at, asm.R1, asm.DWord))
	}
	in = append(in,
		asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, paramsAt),
		asm.Mov.Imm(asm.R3, paramSize), asm.Mov.Imm(asm.R4, skipNeigh),
		asm.FnFibLookup.Call(),
		asm.StoreMem(asm.R9, entryResult, asm.R0, asm.DWord))
	for at := int16(0); at < 16; at += 8 {
		in = append(in, asm.LoadMem(asm.R1, asm.RFP, paramsAt+paramDst+at, asm.DWord), asm.StoreMem(asm.R9, entryGateway+at, asm.R1, asm.DWord))
	}
	return append(in,
		asm.Add.Imm(asm.R7, 1),
		asm.JLT.Imm(asm.R7, perRun, "next"),
		asm.Mov.Imm(asm.R0, 2).WithSymbol("end"), // XDP_PASS
		asm.Return())
}

// Run asks for n queries, rounded up to whole runs, from where the last call ended,
// and returns the processor time that it took.
func (p *Prober) Run(n int) (took time.Duration, err error) {
	err = p.k.ns.Do(func() error {
		begin := measure.CPU()
		_, err := p.prog.Run(&ebpf.RunOptions{Data: make([]byte, 64), Repeat: uint32((n + perRun - 1) / perRun)})
		took = measure.CPU() - begin
		return err
	})
	return took, err
}

// Pin keeps the namespace's thread on a core.
func (p *Prober) Pin(cpu int) error {
	return p.k.ns.Do(func() error {
		_, _, err := measure.Pin(cpu)
		return err
	})
}

// Step is the least that Run asks for.
const Step = perRun

// Answers asks for every query once and returns the next hops.
func (p *Prober) Answers(f fib.Family) ([]uint32, error) {
	if err := p.cursor.Put(uint32(0), uint64(0)); err != nil {
		return nil, err
	}
	if _, err := p.Run(p.size); err != nil {
		return nil, err
	}
	keys, values := make([]uint32, p.size), make([][entrySize]byte, p.size)
	var at ebpf.MapBatchCursor
	if _, err := p.queries.BatchLookup(&at, keys, values, nil); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, err
	}
	out := make([]uint32, p.size)
	for i, key := range keys {
		v := values[i][:]
		last := entryGateway + 3
		if f == fib.Inet6 {
			last = entryGateway + 15
		}
		if out[key] = uint32(v[last]) - 1; binary.NativeEndian.Uint64(v[entryResult:]) != 0 {
			out[key] = ^uint32(0) // no way
		}
	}
	return out, nil
}
