package fib

import (
	"maps"
	"reflect"
	"slices"
)

// AddNexthop does what RTM_NEWNEXTHOP with these flags does: it adds a nexthop
// object, or with [Replace] puts it in place of the one with its id, whose routes
// then use the new one.
//
// A Nexthop needs a link that is up and has a carrier; gateway, scope and flags
// are checked and settled as for a route of scope universe (B30, D54–D56). Family
// 0 of an object that is no group is that of its gateway, or [Inet]. ID 0 takes
// the lowest free one, which is returned. A resilient group needs Buckets: their
// number counts, and what they hold if it is members (a mirror's), else the
// initial layout (B24). Replacing one may leave Buckets out.
//
// It costs the number of objects, and of distinct routes where it replaces.
// Possible errors, as *[OpError]: EEXIST, ENOENT, EINVAL, ENODEV, ENETDOWN,
// ENETUNREACH, EHOSTUNREACH, EACCES; [ErrTxnDone].
func (tx *Txn) AddNexthop(o NexthopObject, flags AddFlags) (id uint32, err error) {
	op := "nexthop add"
	if flags&Replace != 0 {
		op = "nexthop replace"
	}
	if tx.ended() {
		return 0, ErrTxnDone
	}
	o.Group, o.Buckets = slices.Clone(o.Group), slices.Clone(o.Buckets)
	if err := tx.checkObject(&o, flags); err != nil {
		return 0, opError(op, objectName(o.ID), err)
	}
	old := tx.s.objects[o.ID]
	n := &object{NexthopObject: o}
	if old != nil {
		if err := tx.checkReplace(old, n); err != nil {
			return 0, opError(op, objectName(o.ID), err)
		}
	}
	if old != nil && old.equal(n) {
		return o.ID, nil
	}
	tx.putObject(n, old)
	return o.ID, nil
}

// DeleteNexthop does what RTM_DELNEXTHOP does: the object goes, with all routes of
// both families that use it; groups lose it as a member, and one that it empties
// goes the same way (F3).
//
// It costs O(routes) if routes use the object. Possible errors, as *[OpError]:
// ENOENT, EINVAL (id 0); [ErrTxnDone].
func (tx *Txn) DeleteNexthop(id uint32) error {
	const op = "nexthop delete"
	switch {
	case tx.ended():
		return ErrTxnDone
	case id == 0:
		return opError(op, "", refuse(EINVAL, "the id is missing"))
	case tx.s.objects[id] == nil:
		return opError(op, objectName(id), refuse(ENOENT, "there is no such object"))
	}
	tx.removeObjects(id)
	return nil
}

// ownObjects makes the map of objects the transaction's own, not the objects.
func (tx *Txn) ownObjects() {
	if !tx.owned.objects {
		tx.s.objects, tx.owned.objects = maps.Clone(tx.s.objects), true
	}
	tx.dirty = true
}

// equal reports whether putting n in the place of o changes nothing.
func (o *object) equal(n *object) bool {
	if n.Resilient {
		return false // its buckets would be filled anew
	}
	return reflect.DeepEqual(o.NexthopObject, n.NexthopObject)
}

// putObject enters an object in place of another and brings the groups with it up
// to date.
func (tx *Txn) putObject(n, old *object) {
	tx.ownObjects()
	tx.s.objects[n.ID] = n
	n.resolve(tx.s.objects)
	if n.Resilient && !n.fullBuckets() {
		var held []uint32
		if old != nil {
			held = old.Buckets
		}
		n.Buckets = migrateBuckets(held, n.Group, max(len(n.Buckets), len(held)))
	}
	if old == nil {
		return
	}
	for id, g := range tx.s.objects {
		if slices.Contains(g.memberIDs(), n.ID) {
			c := &object{NexthopObject: g.NexthopObject}
			c.resolve(tx.s.objects)
			tx.s.objects[id] = c
		}
	}
}

func (o *NexthopObject) memberIDs() []uint32 {
	ids := make([]uint32, len(o.Group))
	for i := range o.Group {
		ids[i] = o.Group[i].ID
	}
	return ids
}

// fullBuckets reports whether the buckets hold members and nothing else.
func (o *NexthopObject) fullBuckets() bool {
	ids := o.memberIDs()
	return len(o.Buckets) > 0 && !slices.ContainsFunc(o.Buckets, func(id uint32) bool { return !slices.Contains(ids, id) })
}

// removeObjects removes objects, shrinks the groups that have them, removes those
// that this empties, and then the routes of all that went.
func (tx *Txn) removeObjects(ids ...uint32) {
	tx.ownObjects()
	gone := map[uint32]bool{}
	for _, id := range ids {
		gone[id] = true
		delete(tx.s.objects, id)
		for gid, g := range tx.s.objects {
			if !slices.Contains(g.memberIDs(), id) {
				continue
			}
			c := &object{NexthopObject: g.NexthopObject}
			c.Group = slices.DeleteFunc(slices.Clone(g.Group), func(m GroupMember) bool { return m.ID == id })
			if len(c.Group) == 0 {
				gone[gid] = true
				delete(tx.s.objects, gid)
				continue
			}
			if c.Resilient {
				c.Buckets = migrateBuckets(g.Buckets, c.Group, len(g.Buckets))
			}
			c.resolve(tx.s.objects)
			tx.s.objects[gid] = c
		}
	}
	for _, f := range []Family{Inet, Inet6} {
		tx.drop(f, anyTable, func(a *alias) bool { return a.nhid != 0 && gone[a.nhid] })
	}
}

// flushObjects removes the nexthop objects of a link that went down, lost its
// carrier or was deleted (E15). Blackholes hang on lo and go only with it.
func (tx *Txn) flushObjects(dev int32, ev linkEvent) {
	var gone []uint32
	for id, o := range tx.s.objects {
		if o.IsGroup() || o.FDB {
			continue
		}
		if o.Blackhole && dev == loopback && ev == linkUnregistered || !o.Blackhole && o.Nexthop.Link == dev {
			gone = append(gone, id)
		}
	}
	if len(gone) > 0 {
		slices.SortFunc(gone, func(a, b uint32) int { return int(int64(b) - int64(a)) })
		tx.removeObjects(gone...)
	}
}

// migrateBuckets is the layout of n buckets that a group settles at: a bucket
// keeps the member it held unless that is gone or has more than its share; the
// others go to members that lack some, the last member first (B24). Buckets count
// as idle, since no packet uses them here.
func migrateBuckets(held []uint32, group []GroupMember, n int) []uint32 {
	var total, sum, before uint64
	for _, m := range group {
		total += uint64(max(m.Weight, 1))
	}
	lacks := make(map[uint32]int, len(group)) // below 0: has too many
	for _, m := range group {
		sum += uint64(max(m.Weight, 1))
		upTo := (2*sum*uint64(n) + total) / (2 * total)
		lacks[m.ID], before = int(upTo-before), upTo
	}
	out := make([]uint32, n)
	copy(out, held)
	for _, id := range out {
		if _, ok := lacks[id]; ok {
			lacks[id]--
		}
	}
	next := len(group) - 1
	for i, id := range out {
		for next >= 0 && lacks[group[next].ID] <= 0 {
			next--
		}
		if l, member := lacks[id]; next < 0 || member && l >= 0 {
			continue
		} else if member {
			lacks[id]++
		}
		out[i] = group[next].ID
		lacks[out[i]]--
	}
	return out
}
