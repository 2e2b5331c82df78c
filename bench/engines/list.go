package engines

import (
	"github.com/fibula-net/fibula/bench/alternatives"
	"github.com/fibula-net/fibula/lookup/flat"
	"github.com/fibula-net/fibula/lookup/hashzone"
	"github.com/fibula-net/fibula/lookup/linear"
	"github.com/fibula-net/fibula/lookup/trie"
)

// Compiled is the name of the engine of the packet path, against which the goals are
// set.
const Compiled = "flat"

// Plain is the same without assembly.
const Plain = Compiled + "-plain"

// LPM are the engines of longest-prefix match in the order of reports: ours, then
// those of other modules. A new engine of ours is one line here.
var LPM = []*Engine{
	ours(linear.Engine{}, 2_000),
	ours(hashzone.Engine{}, 0),
	ours(trie.Engine{}, 0),
	ours(flat.Engine{}, 0),
	ours(flat.Engine{Plain: true}, 0),
	ours(flat.Engine{AVX2: true}, 0),
	alternative("sorted-ranges", alternatives.NewRanges),
	alternative("bitmap-rank", alternatives.NewRank),
	alternative("poptrie", alternatives.NewPoptrie),
	bartTable(),
	bartFast(),
	critbit(),
	cidrangerTrie(),
}

// Default is the engine under whole FIBs where none is chosen.
func Default() *Engine { return Named(Compiled) }
