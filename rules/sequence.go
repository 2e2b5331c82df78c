package rules

import (
	"iter"
	"slices"
)

// sequence is the entries of a list by position and by order: pages of a few hundred,
// so that a change copies one page and the directory, and a search looks at the
// orders alone. It is immutable; the zero value is empty.
type sequence struct {
	pages []*page
	order []uint64 // of the first entry of each page
	start []int    // and its position
	n     int
}

type page struct {
	entries []*Entry // one at least
	order   []uint64
}

const pageMax = 256

// sequenceOf returns the sequence of entries in list order, of which it keeps a copy.
func sequenceOf(entries []*Entry) sequence {
	s := sequence{n: len(entries)}
	for es := range slices.Chunk(entries, pageMax*3/4) {
		p := &page{entries: slices.Clone(es), order: make([]uint64, len(es))}
		for i, e := range es {
			p.order[i] = e.order
		}
		s.pages = append(s.pages, p)
	}
	s.sum()
	return s
}

// sum makes the directory of the pages.
func (s *sequence) sum() {
	s.order, s.start, s.n = make([]uint64, len(s.pages)), make([]int, len(s.pages)), 0
	for k, p := range s.pages {
		s.order[k], s.start[k] = p.order[0], s.n
		s.n += len(p.order)
	}
}

// below returns how many of the sorted keys are not above v. It has no branch to
// mispredict.
func below[T uint64 | int](keys []T, v T) int {
	base := 0
	for n := len(keys); n > 0; {
		half := (n + 1) / 2
		next := base
		if keys[base+half-1] <= v {
			next = base + half
		}
		base, n = next, n-half
	}
	return base
}

// page returns the page that holds position i, and where. It panics if none does.
func (s *sequence) page(i int) (p *page, at int) {
	k := 0
	if len(s.pages) > 1 {
		k = below(s.start, i) - 1
	}
	return s.pages[k], i - s.start[k]
}

func (s *sequence) at(i int) *Entry {
	p, at := s.page(i)
	return p.entries[at]
}

func (s *sequence) orderAt(i int) uint64 {
	p, at := s.page(i)
	return p.order[at]
}

// position returns the position of the first entry whose order is not below.
func (s *sequence) position(order uint64) int {
	if s.n == 0 || order == 0 {
		return 0
	}
	k := max(below(s.order, order-1)-1, 0)
	return s.start[k] + below(s.pages[k].order, order-1)
}

// with returns s with e, whose order no entry has.
func (s *sequence) with(e *Entry) sequence {
	if s.n == 0 {
		return sequenceOf([]*Entry{e})
	}
	k := max(below(s.order, e.order)-1, 0)
	old := s.pages[k]
	at := below(old.order, e.order)
	p := &page{inserted(old.entries, at, e), inserted(old.order, at, e.order)}
	if len(p.order) <= pageMax {
		return s.replaced(k, k+1, p)
	}
	const half = pageMax / 2
	return s.replaced(k, k+1, &page{slices.Clone(p.entries[:half]), slices.Clone(p.order[:half])},
		&page{slices.Clone(p.entries[half:]), slices.Clone(p.order[half:])})
}

// without returns s without the entry at position i.
func (s *sequence) without(i int) sequence {
	k := below(s.start, i) - 1
	p := &page{removed(s.pages[k].entries, i-s.start[k]), removed(s.pages[k].order, i-s.start[k])}
	switch end := k + 1; {
	case len(p.order) == 0:
		return s.replaced(k, end)
	case end < len(s.pages) && len(p.order)+len(s.pages[end].order) <= pageMax/2:
		next := s.pages[end]
		return s.replaced(k, end+1, &page{slices.Concat(p.entries, next.entries), slices.Concat(p.order, next.order)})
	default:
		return s.replaced(k, end, p)
	}
}

// replaced returns s with pages in place of those from k to before end.
func (s *sequence) replaced(k, end int, pages ...*page) sequence {
	c := sequence{pages: make([]*page, 0, len(s.pages)+1)}
	c.pages = append(append(append(c.pages, s.pages[:k]...), pages...), s.pages[end:]...)
	c.sum()
	return c
}

// exchanged returns s with entries in place of those of the same order.
func (s *sequence) exchanged(entries []*Entry) sequence {
	c := *s
	c.pages = slices.Clone(s.pages)
	for _, e := range entries {
		k := below(s.order, e.order) - 1
		if c.pages[k] == s.pages[k] {
			c.pages[k] = &page{slices.Clone(s.pages[k].entries), s.pages[k].order}
		}
		c.pages[k].entries[below(s.pages[k].order, e.order)-1] = e
	}
	return c
}

// all yields position and entry, from position from on.
func (s *sequence) all(from int) iter.Seq2[int, *Entry] {
	return func(yield func(int, *Entry) bool) {
		if from >= s.n {
			return
		}
		for k := max(below(s.start, from)-1, 0); k < len(s.pages); k++ {
			start := s.start[k]
			for at := max(from-start, 0); at < len(s.pages[k].entries); at++ {
				if !yield(start+at, s.pages[k].entries[at]) {
					return
				}
			}
		}
	}
}
