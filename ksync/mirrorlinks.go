package ksync

import (
	"context"

	"github.com/fibula-net/fibula/fib"
)

// maxByLink is the number of links from which on everything is looked at instead: the kernel
// goes over all of its tables for each.
const maxByLink = 16

// lookByLinks compares the routes by the links in doubt. A table in which some differ becomes a
// suspect, to be looked at whole. Where news came meanwhile that do not account for it, the
// links stay in doubt.
func (m *Mirrored) lookByLinks(ctx context.Context, d *doubts) error {
	switch {
	case len(d.links) == 0:
		return nil
	case d.everyTable || d.elsewhere:
		d.links = nil
		return nil
	case len(d.links) > maxByLink:
		d.links, d.everyTable = nil, true
		return nil
	}
	s := m.f.Snapshot()
	differ := map[fib.TablePrefix]fib.Family{}
	var all []*fib.LinkComparison
	interrupted := false
	for _, f := range m.families() {
		for l := range d.links {
			c := s.CompareLink(f, l, &m.part.Selection)
			can, err := m.src.routesBy(ctx, f, l, func(r *fib.Route) error { c.Route(r); return nil })
			if err = interruption(err, &interrupted); err != nil {
				return err
			}
			if !can {
				d.links, d.everyTable = nil, true
				return nil
			}
			for _, p := range c.Finish() {
				differ[p] = f
			}
			all = append(all, c)
		}
	}
	if err := m.src.barrier(); err != nil {
		return err
	}
	b, err := m.src.take()
	if err != nil {
		return err
	}
	w, err := touched(b)
	if err != nil {
		return err
	}
	links := d.links
	d.links = nil
	if err := m.applyBatch(b); err != nil {
		return err
	}
	if interrupted || w.surroundings && len(differ) > 0 { // it may be what these have done
		m.doubts.add(&doubts{links: links})
		return nil
	}
	heard := false
	for p, f := range differ {
		if _, ok := w.prefixes[p]; ok {
			heard = true
		} else {
			d.suspect(f, p)
		}
	}
	if !heard {
		return nil
	}
	s = m.f.Snapshot()
	for _, c := range all {
		for _, p := range c.Again(s) {
			_, news := w.prefixes[p]
			if _, before := differ[p]; news && before {
				m.doubts.add(&doubts{links: links})
				return nil
			}
		}
	}
	return nil
}
