package flat

import (
	"net/netip"

	"github.com/fibula-net/fibula/lookup"
)

// Editor is a next version.
type Editor struct {
	next               Table
	epoch              uint64
	changes            []change4 // since next.direct described next
	changes6           []change6
	changed4, changed6 bool    // since the last version
	rebuild, rebuild6  bool    // more changes than are worth keeping
	diff               *Editor // of a shared table: next.diff is what it holds
	// What was entered in order into an empty tree, which settle makes. Of a table that holds the
	// differences of another nothing: it is read as it is.
	run4, run6 run[lookup.Index]
	runs       bool
}

var _ lookup.Editor = (*Editor)(nil)

// Len returns the number of prefixes.
func (e *Editor) Len() int { return e.next.Len() }

// Get returns the index stored under exactly p.
func (e *Editor) Get(p netip.Prefix) (lookup.Index, bool) {
	e.settle()
	return e.next.Get(p)
}

// settle makes the trees of what was entered in order.
func (e *Editor) settle() {
	if e.run4.len() > 0 {
		e.next.four = e.run4.build(e.epoch)
	}
	if e.run6.len() > 0 {
		e.next.six = e.run6.build(e.epoch)
	}
}

// put stores i in a tree, or in its run.
func (e *Editor) put(tree **node[lookup.Index], r *run[lookup.Index], key uint64, length int, i lookup.Index) (old lookup.Index, replaced bool) {
	if e.runs && *tree == nil {
		old, replaced, ok := r.add(key, length, i)
		if ok {
			return old, replaced
		}
		*tree = r.build(e.epoch)
	}
	*tree, old, replaced = (*tree).put(e.epoch, 0, key, length, i)
	return old, replaced
}

// Lookup returns the longest prefix that contains dst. Until the next version is
// published it goes down the trees.
func (e *Editor) Lookup(dst netip.Addr) (lookup.Match, bool) {
	return e.Shorter(dst, dst.BitLen()+1)
}

// Shorter returns the longest prefix that contains dst and is shorter than bits.
func (e *Editor) Shorter(dst netip.Addr, bits int) (lookup.Match, bool) {
	e.settle()
	return e.next.Shorter(dst, bits)
}

// Insert stores i under p. It copies the lists and nodes on the path that this editor has not
// copied yet. Into an empty table, what comes in ascending order, as it does from a dump, is only noted until
// the editor is asked for something.
func (e *Editor) Insert(p netip.Prefix, i lookup.Index) (old lookup.Index, replaced bool) {
	if !p.IsValid() {
		return 0, false
	}
	p = p.Masked()
	t, bits := &e.next, p.Bits()
	if t.under != nil && i == gone {
		e.detach()
	}
	hi, lo := words(p.Addr())
	switch {
	case t.under != nil:
		old, replaced = e.insertShared(p, i)
	case p.Addr().Is4():
		old, replaced = e.put(&t.four, &e.run4, hi, bits, i)
		e.note(change4{uint32(hi >> 32), uint8(bits), replaced, true, old, i})
	case bits <= 64:
		old, replaced = e.put(&t.six, &e.run6, hi, bits, i)
		e.note6(change6{hi, uint8(bits), replaced, true, old, i})
	default:
		var rest *node[lookup.Index]
		if s := t.long.get(hi, 64); s != nil {
			rest = s.value
		}
		rest, old, replaced = rest.put(e.epoch, 0, lo, bits-64, i)
		t.long, _, _ = t.long.put(e.epoch, 0, hi, 64, rest)
		e.note6(change6{hi: hi, length: 65})
	}
	if !replaced {
		t.n++
	}
	return old, replaced
}

// Delete removes p, at the cost of Insert.
func (e *Editor) Delete(p netip.Prefix) (old lookup.Index, existed bool) {
	old, existed = e.Get(p)
	if !existed {
		return 0, false
	}
	p = p.Masked()
	t, bits := &e.next, p.Bits()
	hi, lo := words(p.Addr())
	switch {
	case t.under != nil:
		e.deleteShared(p)
	case p.Addr().Is4():
		t.four = t.four.remove(e.epoch, hi, bits)
		e.note(change4{addr: uint32(hi >> 32), length: uint8(bits), was: true, old: old})
	case bits <= 64:
		t.six = t.six.remove(e.epoch, hi, bits)
		e.note6(change6{hi: hi, length: uint8(bits), was: true, old: old})
	default:
		rest := t.long.get(hi, 64).value.remove(e.epoch, lo, bits-64)
		if rest == nil {
			t.long = t.long.remove(e.epoch, hi, 64)
		} else {
			t.long, _, _ = t.long.put(e.epoch, 0, hi, 64, rest)
		}
		e.note6(change6{hi: hi, length: 65})
	}
	t.n--
	return old, true
}

// note keeps a change for the direct arrays, as long as following changes is cheaper
// than to make them anew.
func (e *Editor) note(c change4) {
	e.changed4 = true
	if c.length == 0 {
		e.next.default4, e.next.hasDef4, e.next.none = lookup.Match{Index: c.index}, c.is, NoMatch
		if c.is {
			e.next.none = c.index
		}
	}
	t := &e.next
	if t.direct == nil && t.mid4 == nil && t.under == nil || e.rebuild {
		return
	}
	if e.changes = append(e.changes, c); len(e.changes) > t.size4()/2 {
		e.changes, e.rebuild = nil, true
	}
}

func (e *Editor) note6(c change6) {
	e.changed6 = true
	t := &e.next
	if c.length == 0 {
		t.default6, t.hasDef6, t.none6 = lookup.Match{Index: c.index}, c.is, NoMatch
		if c.is {
			t.none6 = c.index
		}
	}
	if t.direct6 == nil && t.mid6 == nil && t.under == nil || e.rebuild6 {
		return
	}
	if e.changes6 = append(e.changes6, c); len(e.changes6) > t.size6()/2 {
		e.changes6, e.rebuild6 = nil, true
	}
}

// View is what the editor holds now, without arrays.
func (e *Editor) View() lookup.Table {
	return e.view()
}

func (e *Editor) view() *Table {
	e.settle()
	view := e.next
	view.forget()
	if e.diff != nil {
		view.diff = e.diff.view()
	}
	e.epoch = epochs.Add(1)
	return &view
}

// Table publishes what the editor holds now. It costs the part of the address space
// whose answer has changed; a version that branches off from one that is not the newest,
// and one that has become large or has half of its prefixes changed, costs its compilation.
func (e *Editor) Table() lookup.Table { return e.table() }

func (e *Editor) table() *Table {
	e.settle()
	if e.outgrown() {
		e.detach()
	}
	t := &e.next
	if t.under != nil {
		return e.publishShared()
	}
	switch n := t.four.size(); {
	case t.direct == nil && (n < t.direct4From || n > t.refused4/2 && t.refused4 > 0), n < t.direct4From/4:
		t.direct = nil
	case t.direct == nil || e.rebuild:
		t.compile4()
	case len(e.changes) > 0:
		var ok bool
		if t.version, ok = t.direct.publish(t.version, t.four, e.changes); !ok {
			t.compile4()
		}
	}
	switch n := t.size6(); {
	case t.direct6 == nil && (n < t.direct6From || n > t.refused6/2 && t.refused6 > 0), n < t.direct6From/4:
		t.direct6 = nil
	case t.direct6 == nil || e.rebuild6:
		t.compile6()
	case len(e.changes6) > 0:
		var ok bool
		if t.version6, ok = t.direct6.publish(t.version6, t.trees6(), e.changes6); !ok {
			t.compile6()
		}
	}
	switch {
	case !e.changed4:
	case t.direct != nil:
		t.small4, t.mid4 = nil, nil
	default:
		t.small4, t.mid4 = t.lists(trees6{short: t.four}, t.mid4, e.parts4(), e.rebuild)
	}
	switch {
	case !e.changed6:
	case t.direct6 != nil:
		t.small6, t.mid6 = nil, nil
	default:
		t.small6, t.mid6 = t.lists(t.trees6(), t.mid6, e.parts6(), e.rebuild6)
	}
	e.settled()
	table := *t
	return &table
}

// settled begins the next stretch of work, after a version was published.
func (e *Editor) settled() {
	e.changes, e.rebuild, e.changes6, e.rebuild6 = nil, false, nil, false
	e.changed4, e.changed6 = false, false
	e.epoch = epochs.Add(1)
}

// parts4 are the /8 of the changes.
func (e *Editor) parts4() *parts {
	var set parts
	for i := range e.changes {
		if c := &e.changes[i]; c.length > 0 {
			set.add(uint64(c.addr)<<32, int(c.length))
		}
	}
	return &set
}

func (e *Editor) parts6() *parts {
	var set parts
	for i := range e.changes6 {
		if c := &e.changes6[i]; c.length > 0 {
			set.add(c.hi, int(c.length))
		}
	}
	return &set
}

// forget drops what is compiled.
func (t *Table) forget() {
	t.direct, t.direct6, t.small4, t.small6 = nil, nil, nil, nil
	t.mid4, t.mid6, t.over4, t.over6 = nil, nil, nil, nil
}

// size4 and size6 are the prefixes of a family, of a shared table roughly.
func (t *Table) size4() int {
	if t.under != nil {
		t = t.under
	}
	return t.four.size()
}

func (t *Table) size6() int {
	if t.under != nil {
		t = t.under
	}
	return t.six.size() + t.long.size()
}

func (t *Table) trees6() trees6 { return trees6{t.six, t.long} }

func (t *Table) compile4() {
	t.refused4 = 0
	if t.direct = build4(t.four); t.direct != nil {
		t.version = t.direct.head
	} else {
		t.refused4 = t.four.size()
	}
}

func (t *Table) compile6() {
	t.refused6 = 0
	if t.direct6 = build6(t.trees6()); t.direct6 != nil {
		t.version6 = t.direct6.head
	} else {
		t.refused6 = t.size6()
	}
}

// lists are the lists of ranges of a family without arrays, of which set has changed since
// there was mid, or all.
func (t *Table) lists(trees trees6, mid *spread, set *parts, all bool) (*ranges, *spread) {
	n := trees.short.size() + trees.long.size()
	switch {
	case n == 0:
		return nil, nil
	case n <= t.rangesTo/2 || n <= t.rangesTo && mid == nil:
		return rangesOf(trees), nil
	case mid == nil || all:
		return nil, spreadOf(trees)
	}
	return nil, mid.changed(trees, set)
}
