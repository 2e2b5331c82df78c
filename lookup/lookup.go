package lookup

import (
	"iter"
	"net/netip"
)

// Index is what a table maps a prefix to: a position in an array of the caller's,
// never a pointer. All its values are allowed; engines only store and return it.
type Index = uint32

// Match is one prefix found for an address, without spelling it out: the prefix is
// the address masked to Bits.
type Match struct {
	Index Index
	Bits  int16 // prefix length: 0–32 for IPv4, 0–128 for IPv6
}

// Prefix returns the prefix that m stands for, given the address that was looked up.
// It is invalid if dst is, or if dst is not of the family that m was found in.
func (m Match) Prefix(dst netip.Addr) netip.Prefix {
	p, _ := dst.Prefix(int(m.Bits))
	return p
}

// Reader is what can be asked of a [Table] and of an [Editor] alike, so that a writer
// reads its own changes with the code that readers use.
type Reader interface {
	// Len returns the number of prefixes, both families together, at no cost.
	Len() int

	// Get returns the index stored under exactly p. It does not allocate.
	Get(p netip.Prefix) (Index, bool)

	// Lookup returns the longest prefix that contains dst. It does not allocate.
	Lookup(dst netip.Addr) (Match, bool)

	// Shorter returns the longest prefix that contains dst and is strictly shorter
	// than bits: the step back after a match of length bits that did not fit. Bits
	// above the length of the address make it equal to Lookup; bits of 0 or less find
	// nothing. It does not allocate, and costs about as much as Lookup.
	Shorter(dst netip.Addr, bits int) (Match, bool)
}

// Table is one version of a set of prefixes with their indexes. It never changes:
// to change means to derive another with Edit.
//
// A Table is safe for concurrent use. Readers take no lock, wait for nobody and write
// nothing shared; the garbage collector frees a version when its last reader is done.
// Iterators may be used several times and need not run to their end; unlike the
// methods of [Reader] they may allocate.
type Table interface {
	Reader

	// Covering yields p, if it is stored, and every stored prefix that contains it,
	// longest first.
	Covering(p netip.Prefix) iter.Seq2[netip.Prefix, Index]

	// Covered yields p, if it is stored, and every stored prefix inside it, in the
	// order of All.
	Covered(p netip.Prefix) iter.Seq2[netip.Prefix, Index]

	// All yields every prefix in the order of [netip.Prefix.Compare]: IPv4 before IPv6,
	// ascending by address, of equal addresses the shorter prefix first.
	All() iter.Seq2[netip.Prefix, Index]

	// Edit starts a next version that holds the same prefixes. The receiver stays as
	// it is for ever, whatever becomes of the editor.
	Edit() Editor
}

// Editor is one writer's private next version. It is not safe for concurrent use, but
// any number of readers may use the tables it came from and those it has published.
//
// An Editor that is dropped without publishing leaves no trace.
type Editor interface {
	Reader

	// Insert stores i under p, in place of the index that was there. It returns that
	// one, and whether there was one. An invalid prefix is not stored.
	Insert(p netip.Prefix, i Index) (old Index, replaced bool)

	// Delete removes p alone, not the prefixes inside it. It returns the index that was
	// there, and whether there was one.
	Delete(p netip.Prefix) (old Index, existed bool)

	// View is what the editor holds now, to be read by its writer before it is decided
	// whether there will be a next version. It stays as it is under later
	// changes. It costs a small constant, and its lookups may be slower than those of what
	// Table publishes.
	View() Table

	// Table publishes what the editor holds now. The editor may be used afterwards; its
	// later changes do not reach a table already published. It costs a small constant,
	// and for a compiled engine what the changes concern; not the size of the table.
	Table() Table
}

// Engine makes tables of one kind. Its zero value is ready to use, and it is safe for
// concurrent use.
type Engine interface {
	// Name returns the engine's name as configuration and benchmarks spell it.
	Name() string

	// New returns an empty table.
	New() Table

	// Build returns a table with all of routes, the later of two with the same prefix
	// winning. It equals inserting them one by one, and is the fast way to load many.
	// Invalid prefixes are passed over.
	Build(routes iter.Seq2[netip.Prefix, Index]) Table
}

// BatchTable is a [Table] that can look up many addresses in one call, which lets
// the memory accesses of neighbours overlap. It is an optional upgrade, found by type
// assertion; flat has it.
type BatchTable interface {
	Table

	// LookupBatch sets out[k] to the longest match of dst[k], for every k < len(dst). An
	// address without a match gets Bits -1 and Index 0. It does not allocate. Out must
	// be at least as long as dst; otherwise LookupBatch panics before it writes.
	LookupBatch(dst []netip.Addr, out []Match)
}
