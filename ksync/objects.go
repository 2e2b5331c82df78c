package ksync

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// ObjectDifference is something beside routes that two sides have differently. Text is
// empty where a side does not have it.
type ObjectDifference struct {
	Object       string // such as "link 3"
	Ours, Theirs string
}

// objectDifferences lists what differs in two plain states.
func objectDifferences(ours, theirs *fib.State) (out []ObjectDifference) {
	collect := func(object, a, b string) { out = append(out, ObjectDifference{object, a, b}) }
	diffList(collect, ours.Links, theirs.Links, linkName)
	diffList(collect, ours.Addresses, theirs.Addresses, addressName)
	diffList(collect, ours.Nexthops, theirs.Nexthops, nexthopName)
	for _, f := range [...]fib.Family{fib.Inet, fib.Inet6} {
		if a, b := rulesOf(ours, f), rulesOf(theirs, f); !slices.Equal(a, b) {
			collect(rulesName(f), rulesText(a), rulesText(b))
		}
	}
	if ours.Sysctls != theirs.Sysctls {
		collect("settings", fmt.Sprintf("%+v", ours.Sysctls), fmt.Sprintf("%+v", theirs.Sysctls))
	}
	if !reflect.DeepEqual(ours.AddrLabels, theirs.AddrLabels) {
		collect("address labels", fmt.Sprint(ours.AddrLabels), fmt.Sprint(theirs.AddrLabels))
	}
	return out
}

// diffList compares two lists of objects with names, the order included.
func diffList[T any](collect func(object, a, b string), ours, theirs []T, name func(*T) string) {
	place := map[string]int{}
	for i := range theirs {
		place[name(&theirs[i])] = i
	}
	for i := range ours {
		n := name(&ours[i])
		j, ok := place[n]
		delete(place, n)
		switch {
		case !ok:
			collect(n, fmt.Sprintf("%+v", ours[i]), "")
		case !reflect.DeepEqual(ours[i], theirs[j]):
			collect(n, fmt.Sprintf("%+v", ours[i]), fmt.Sprintf("%+v", theirs[j]))
		case i != j && len(ours) == len(theirs):
			collect(n, fmt.Sprintf("number %d", i), fmt.Sprintf("number %d", j))
		}
	}
	for i := range theirs {
		if n := name(&theirs[i]); place[n] == i {
			if _, left := place[n]; left {
				collect(n, "", fmt.Sprintf("%+v", theirs[i]))
			}
		}
	}
}

func rulesOf(st *fib.State, f fib.Family) (out []rules.Rule) {
	for i := range st.Rules {
		if st.Rules[i].Family == f {
			out = append(out, st.Rules[i])
		}
	}
	return out
}

// rulesText has a line for each.
func rulesText(list []rules.Rule) string {
	var b strings.Builder
	for i := range list {
		fmt.Fprintln(&b, list[i].String())
	}
	return b.String()
}

// carrierWait is how long a kernel may take to act on a change of carrier, and to
// announce that, after it shows.
const carrierWait = 3 * time.Second

// pendingCarrier overlooks changes of carrier that are yet to be announced: the flags of a
// link show them before the kernel draws any consequence.
func (m *Mirrored) pendingCarrier(ours, theirs *fib.State) {
	const carrier = fib.LinkRunning | fib.LinkLowerUp
	since := map[int32]time.Time{}
	of := make(map[int32]*fib.Link, len(ours.Links))
	for j := range ours.Links {
		of[ours.Links[j].Index] = &ours.Links[j]
	}
	for i := range theirs.Links {
		b := &theirs.Links[i]
		a := of[b.Index]
		if a == nil || !a.Up() || !b.Up() || (a.Flags^b.Flags)&carrier == 0 {
			continue
		}
		at, ok := m.carrier[a.Index]
		if !ok {
			at = m.now()
		}
		if since[a.Index] = at; m.now().Sub(at) < carrierWait {
			b.Flags = b.Flags&^carrier | a.Flags&carrier
		}
	}
	m.carrier = since
}

// plain is a state as it is compared: without routes, modes and neighbours, without
// lifetimes, which run down, and what no dump shows; in one order.
func plain(st *fib.State) fib.State {
	c := fib.State{Kernel: st.Kernel, Sysctls: st.Sysctls, Links: slices.Clone(st.Links), Rules: slices.Clone(st.Rules)}
	of := map[int32][]fib.Address{} // there may be thousands of links
	for _, a := range st.Addresses {
		of[a.Link] = append(of[a.Link], a)
	}
	for i := range c.Links {
		if len(c.Links[i].Groups4) == 0 {
			c.Links[i].Groups4 = nil
		}
		for _, v4 := range [...]bool{true, false} {
			for _, a := range of[c.Links[i].Index] {
				if a.Local.Is4() == v4 {
					a.ValidLft, a.PreferredLft = 0, 0
					c.Addresses = append(c.Addresses, a)
				}
			}
		}
	}
	c.Nexthops = slices.Clone(st.Nexthops)
	slices.SortFunc(c.Nexthops, func(a, b fib.NexthopObject) int { return cmp.Compare(a.ID, b.ID) })
	for i := range c.Nexthops {
		o := &c.Nexthops[i]
		o.Source = netip.Addr{}
		o.Nexthop.Flags &= fib.FlagOnlink
		o.Nexthop.Scope, o.Nexthop.ScopeSet = 0, false
		if len(o.Group) == 0 {
			o.Group = nil
		}
		if len(o.Buckets) == 0 {
			o.Buckets = nil
		}
	}
	c.AddrLabels = slices.Clone(st.AddrLabels)
	slices.SortFunc(c.AddrLabels, func(a, b fib.AddrLabel) int {
		return cmp.Or(cmp.Compare(b.Prefix.Bits(), a.Prefix.Bits()), a.Prefix.Compare(b.Prefix), cmp.Compare(a.Link, b.Link))
	})
	if len(c.Rules) == 0 {
		c.Rules = nil
	}
	return c
}

// sameNeighbours brings the neighbours to what the kernel has.
func sameNeighbours(tx *fib.Txn, list []fib.Neighbour) error {
	type key struct {
		link int32
		addr netip.Addr
	}
	there := make(map[key]bool, len(list))
	for _, n := range list {
		there[key{n.Link, n.Addr}] = true
		if err := tx.SetNeighbour(n); err != nil && !errors.Is(err, fib.ENODEV) {
			return err
		}
	}
	for n := range tx.Snapshot().Neighbours() {
		if !there[key{n.Link, n.Addr}] {
			if err := tx.DeleteNeighbour(n.Link, n.Addr); err != nil {
				return err
			}
		}
	}
	return nil
}
