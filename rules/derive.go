package rules

// made is the list of entries in list order, which are its own. O(n log n).
func made(f Family, entries []*Entry) *List {
	l := &List{family: f, age: uint32(len(entries))}
	for i, e := range entries {
		e.order, e.open = two(e.Priority, uint32(i)), e.isOpen()
		l.count(e, 1)
	}
	l.rules, l.index = sequenceOf(entries), indexOf(entries)
	return l
}

// entries returns the entries in list order.
func (l *List) entries() []*Entry {
	es := make([]*Entry, 0, l.rules.n)
	for _, e := range l.rules.all(0) {
		es = append(es, e)
	}
	return es
}

// inserted returns l with e behind the others of its priority.
func (l *List) inserted(e *Entry) *List {
	if l == nil {
		l = &List{}
	}
	if l.age == 1<<32-1 {
		l = l.renumbered()
	}
	e.order = two(e.Priority, l.age)
	e.open = e.isOpen()
	c := *l
	c.family, c.age = e.Family, l.age+1
	c.rules = l.rules.with(e)
	c.count(e, 1)
	if l.index == nil {
		c.index = indexOf(c.entries())
	} else {
		c.index = l.index.with(e)
	}
	return &c
}

// deleted returns l without rule i.
func (l *List) deleted(i int) *List {
	e := l.At(i)
	c := *l
	c.rules = l.rules.without(i)
	c.count(e, -1)
	if c.rules.n <= scanned {
		c.index = nil
	} else {
		c.index = l.index.without(e)
	}
	return &c
}

// renumbered returns l with ages from 0, once in four billion rules.
func (l *List) renumbered() *List {
	es := l.entries()
	for i, e := range es {
		c := *e
		es[i] = &c
	}
	return made(l.family, es)
}

// count adds n to what the list knows about its rules where e is such a rule.
func (l *List) count(e *Entry, n int) {
	if e.RequiresDissection() {
		l.dissect += n
	}
	if e.Realms != 0 {
		l.realms += n
	}
}

// Bind returns the list with every interface name resolved anew, and l itself
// if that changes nothing. lookup returns the index of the link that has the
// name, 0 if none has, and whether that link is an L3 master. Call it after Load,
// and after links have changed unless Rebind follows them. A kernel binds a rule
// when a link is registered or renamed, which comes to the same (A18).
//
// O(n), and O(log n) for each rule that changes.
func (l *List) Bind(lookup func(name string) (index int32, l3master bool)) *List {
	var changed []*Entry
	if l == nil {
		return nil
	}
	for _, old := range l.rules.all(0) {
		if old.Iif != "" || old.Oif != "" {
			e := *old
			if e.bind(lookup); e != *old {
				changed = append(changed, &e)
			}
		}
	}
	return l.replaced(changed)
}

// Rebind returns the list with one interface name resolved anew, and l itself if that
// changes nothing: Bind for one name, at the cost of the rules that have it and, if
// any changes, O(n) to copy one word per rule.
func (l *List) Rebind(name string, index int32, l3master bool) *List {
	var changed []*Entry
	visit := func(old *Entry) bool {
		e := *old
		e.bind(func(s string) (int32, bool) {
			switch {
			case s == name:
				return index, l3master
			case s == old.Iif:
				return old.IifIndex, old.IifMaster
			}
			return old.OifIndex, old.OifMaster
		})
		if e != *old {
			changed = append(changed, &e)
		}
		return true
	}
	switch {
	case l == nil:
	case l.index == nil:
		for _, e := range l.rules.all(0) {
			visit(e)
		}
	default:
		if found := l.index.named.get(hashOfName(SelIif, name)); found != nil {
			found.each(visit)
		}
		if found := l.index.named.get(hashOfName(SelOif, name)); found != nil {
			found.each(func(e *Entry) bool { return e.Iif == name || visit(e) })
		}
	}
	return l.replaced(changed)
}

// bind resolves the names of an entry that is in no list yet.
func (e *Entry) bind(lookup func(name string) (index int32, l3master bool)) {
	if e.Iif != "" {
		e.IifIndex, e.IifMaster = lookup(e.Iif)
	}
	if e.Oif != "" {
		e.OifIndex, e.OifMaster = lookup(e.Oif)
	}
}

// replaced returns l with entries in place of those of the same order, l itself if
// there are none.
func (l *List) replaced(changed []*Entry) *List {
	if len(changed) == 0 {
		return l
	}
	c := *l
	c.rules = l.rules.exchanged(changed)
	if l.index == nil || len(changed) > l.rules.n/16 { // cheaper than so many changes
		c.index = indexOf(c.entries())
		return &c
	}
	for _, e := range changed {
		c.index = c.index.without(l.At(l.rules.position(e.order))).with(e)
	}
	return &c
}
