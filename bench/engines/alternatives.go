package engines

import (
	"iter"
	"net/netip"

	"github.com/fibula-net/fibula/lookup"
)

// alternative wraps a way that was not taken, with a table for each family.
func alternative[T packedScalar](name string, build func(iter.Seq2[netip.Prefix, lookup.Index]) T) *Engine {
	return &Engine{Name: name, Fill: func(routes iter.Seq2[netip.Prefix, lookup.Index]) Forms {
		of := func(is4 bool) T {
			return build(func(yield func(netip.Prefix, lookup.Index) bool) {
				for p, i := range routes {
					if p.Addr().Is4() == is4 && !yield(p, i) {
						return
					}
				}
			})
		}
		four, six := of(true), of(false)
		return Forms{Scalar: packed(four, six), keep: [2]T{four, six}}
	}}
}
