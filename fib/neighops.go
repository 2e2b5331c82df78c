package fib

import (
	"maps"
	"net/netip"
)

func (tx *Txn) ownNeighbours() {
	if !tx.owned.neighs {
		tx.s.neighs, tx.owned.neighs = maps.Clone(tx.s.neighs), true
	}
	tx.dirty = true
}

// SetNeighbour enters an entry of the ARP or ND table, in place of the one that
// its link has for the address. The state is taken as it is: no timer runs here.
//
// Possible errors, as *[OpError]: ENODEV, EINVAL; [ErrTxnDone].
func (tx *Txn) SetNeighbour(n Neighbour) error {
	const op = "neighbour set"
	if tx.ended() {
		return ErrTxnDone
	}
	switch {
	case !n.Addr.IsValid() || n.Addr.Zone() != "":
		return opError(op, n.Addr.String(), refuse(EINVAL, "the address is missing or has a zone"))
	case tx.s.links[n.Link] == nil:
		return opError(op, n.Addr.String(), refuse(ENODEV, "there is no link with index %d", n.Link))
	}
	k := neighKey{n.Link, n.Addr}
	if old, ok := tx.s.neighs[k]; ok && old == n {
		return nil
	}
	tx.ownNeighbours()
	tx.s.neighs[k] = n
	return nil
}

// DeleteNeighbour removes the entry that a link has for an address.
//
// Possible errors, as *[OpError]: ENODEV, ENOENT; [ErrTxnDone].
func (tx *Txn) DeleteNeighbour(link int32, addr netip.Addr) error {
	const op = "neighbour delete"
	if tx.ended() {
		return ErrTxnDone
	}
	k := neighKey{link, addr}
	if tx.s.links[link] == nil {
		return opError(op, addr.String(), refuse(ENODEV, "there is no link with index %d", link))
	}
	if _, ok := tx.s.neighs[k]; !ok {
		return opError(op, addr.String(), refuse(ENOENT, "link %d has no entry for it", link))
	}
	tx.ownNeighbours()
	delete(tx.s.neighs, k)
	return nil
}

// dropNeighbours removes the entries of a family on a link that went down; when
// only its carrier went, permanent ones stay.
func (tx *Txn) dropNeighbours(dev int32, f Family, keepPermanent bool) {
	for k, n := range tx.s.neighs {
		if k.link == dev && k.addr.Is4() == (f == Inet) && !(keepPermanent && n.State&NeighPermanent != 0) {
			tx.ownNeighbours()
			delete(tx.s.neighs, k)
		}
	}
}
