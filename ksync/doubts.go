package ksync

import (
	"time"

	"github.com/fibula-net/fibula/fib"
)

// tableOf names the routes of one family in one table.
type tableOf struct {
	fam fib.Family
	id  fib.TableID
}

// doubts are what the mirror has to look at again.
type doubts struct {
	everything   string // why; "": not everything
	surroundings bool
	objects      map[string]struct{} // of the surroundings, those of which the news were unclear
	everyTable   bool                // as a whole
	elsewhere    bool                // the same, since other links are followed than before
	tables       map[tableOf]*tableDoubt
	links        map[int32]struct{} // the routes by them
	// suspects were found to differ though they were in no doubt; what came meanwhile may
	// account for it.
	suspects map[fib.TablePrefix]fib.Family
}

// tableDoubt is a doubt about all of a table, or about some of its prefixes.
type tableDoubt struct {
	all      bool
	prefixes map[fib.TablePrefix]struct{}
}

func (d *doubts) none() bool {
	return d.everything == "" && !d.surroundings && !d.everyTable && !d.elsewhere && len(d.tables)+len(d.links)+len(d.suspects) == 0
}

func (d *doubts) count() int {
	n := len(d.tables) + len(d.links) + min(len(d.suspects), 1)
	for _, x := range [...]bool{d.surroundings, d.everyTable || d.elsewhere, d.everything != ""} {
		if x {
			n++
		}
	}
	return n
}

func (d *doubts) all(why string) {
	if d.everything == "" {
		d.everything = why
	}
}

func (d *doubts) table(t tableOf) *tableDoubt {
	if d.tables == nil {
		d.tables = map[tableOf]*tableDoubt{}
	}
	x := d.tables[t]
	if x == nil {
		x = &tableDoubt{prefixes: map[fib.TablePrefix]struct{}{}}
		d.tables[t] = x
	}
	return x
}

func (d *doubts) object(name string) {
	if d.objects == nil {
		d.objects = map[string]struct{}{}
	}
	d.objects[name], d.surroundings = struct{}{}, true
}

func (d *doubts) link(index int32) {
	if d.links == nil {
		d.links = map[int32]struct{}{}
	}
	d.links[index] = struct{}{}
}

func (d *doubts) suspect(f fib.Family, p fib.TablePrefix) {
	if d.suspects == nil {
		d.suspects = map[fib.TablePrefix]fib.Family{}
	}
	d.suspects[p] = f
}

func (d *doubts) prefix(f fib.Family, p fib.TablePrefix) {
	d.table(tableOf{f, p.Table}).prefixes[p] = struct{}{}
}

// about reports whether p was in doubt.
func (t *tableDoubt) about(p fib.TablePrefix) bool {
	if t == nil {
		return false
	}
	_, ok := t.prefixes[p]
	return t.all || ok
}

// pace keeps what costs time to a tenth of it, and waits longer each time that it was of
// no use.
type pace struct {
	least time.Duration
	next  time.Time // not before
	tries int       // in a row that came to nothing
}

const (
	share       = 10
	longestWait = 5 * time.Second
)

// spent notes a run from begin to end.
func (p *pace) spent(begin, end time.Time, useful bool) {
	if useful {
		p.tries = 0
	} else {
		p.tries++
	}
	wait := max(p.least, (share-1)*end.Sub(begin))
	wait <<= min(p.tries, 6)
	p.next = end.Add(min(wait, max(longestWait, p.least)))
}

// add adds the doubts of o.
func (d *doubts) add(o *doubts) {
	d.surroundings = d.surroundings || o.surroundings
	for n := range o.objects {
		d.object(n)
	}
	d.everyTable, d.elsewhere = d.everyTable || o.everyTable, d.elsewhere || o.elsewhere
	for l := range o.links {
		d.link(l)
	}
	for p, f := range o.suspects {
		d.suspect(f, p)
	}
	for t, x := range o.tables {
		y := d.table(t)
		y.all = y.all || x.all
		for p := range x.prefixes {
			y.prefixes[p] = struct{}{}
		}
	}
}
