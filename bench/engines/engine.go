package engines

import (
	"iter"
	"net/netip"
	"runtime"

	"github.com/fibula-net/fibula/bench/streams"
	"github.com/fibula-net/fibula/bench/tables"
	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/lookup"
)

// Miss is the answer where no prefix contains the destination.
const Miss = ^uint32(0)

// Engine is something that can be filled with a table.
type Engine struct {
	Name  string
	Batch bool     // has a form that takes many queries at once, under the name with "-batch"
	Ours  bool     // a package of this module
	Most  int      // prefixes beyond which it is not worth waiting for; 0: any
	Fill  fillFunc // builds the table, the whole of what is timed as a build

	// Editable is set where single prefixes can be changed: the same table, and a
	// function that changes one.
	Engine lookup.Engine
}

type fillFunc func(routes iter.Seq2[netip.Prefix, lookup.Index]) Forms

// Forms are the ways to ask one filled table.
type Forms struct {
	Scalar Form
	Batch  *Form
	Arrays uint64 // bytes of what was compiled from the routes, if that is kept beside them
	Table  lookup.Table
	keep   any
}

// Form is one way to ask a filled table.
type Form struct {
	Name string
	// Answer sets out[k] to the answer to query from+k. It is called for a burst at a
	// time, so that the call itself costs nothing.
	Answer func(s *streams.Stream, from int, out []uint32)
	// One is a single answer, for the chain in which each query waits for the last.
	One func(s *streams.Stream, i int) uint32
}

// Filled is a table in an engine, ready to be asked.
type Filled struct {
	Engine *Engine
	Forms
}

// FillWith builds the table in e.
func FillWith(e *Engine, routes iter.Seq2[netip.Prefix, lookup.Index]) *Filled {
	f := &Filled{Engine: e, Forms: e.Fill(routes)}
	f.Scalar.Name = e.Name
	if f.Batch != nil {
		f.Batch.Name = e.Name + "-batch"
	}
	return f
}

// All are the forms, scalar first.
func (f *Filled) All() []*Form {
	all := []*Form{&f.Scalar}
	if f.Batch != nil {
		all = append(all, f.Batch)
	}
	return all
}

// KeepAlive keeps the table from being collected while its memory is measured.
func (f *Filled) KeepAlive() { runtime.KeepAlive(f.keep) }

// Checksum asks every query of a stream and adds up the answers, in their order.
func (f *Form) Checksum(s *streams.Stream) uint64 {
	var out [Burst]uint32
	h := streams.Seed
	for from := 0; from < s.Len(); from += Burst {
		part := out[:min(Burst, s.Len()-from)]
		f.Answer(s, from, part)
		for _, a := range part {
			h = streams.Sum(h, a)
		}
	}
	return h
}

// Burst is how many queries travel in one call: what a driver of network cards
// delivers at once, at most.
const Burst = 256

// one makes the single form of a function for addresses.
func one(lookup func(netip.Addr) uint32) func(*streams.Stream, int) uint32 {
	return func(s *streams.Stream, i int) uint32 { return lookup(s.Addr(i)) }
}

// Named finds an engine; nil if there is none.
func Named(name string) *Engine {
	for _, e := range LPM {
		if e.Name == name {
			return e
		}
	}
	return nil
}

// Suits reports whether e is worth filling with t.
func (e *Engine) Suits(t *tables.Table) bool { return e.Most == 0 || t.Len() <= e.Most }

// is4 tells loops apart once for each burst.
func is4(s *streams.Stream) bool { return s.Family == fib.Inet }
