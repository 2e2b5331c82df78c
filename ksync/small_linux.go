package ksync

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/procnet"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/rules"
)

// small reads everything but routes and neighbours: what fits into a moment. It
// must run inside the namespace.
func (s *scan) small(ctx context.Context) (*fib.State, error) {
	st := &fib.State{Kernel: s.kernel}
	for _, part := range [...]struct {
		what string
		read func(context.Context, *fib.State) error
	}{
		{"links", s.links}, {"addresses", s.addresses}, {"rules", s.rules}, {"nexthops", s.nexthops},
		{"address labels", s.labels},
		{"settings", func(_ context.Context, st *fib.State) (err error) { st.Sysctls, err = readSysctls(); return err }},
	} {
		if err := part.read(ctx, st); err != nil {
			return nil, fmt.Errorf("read %s of %v: %w", part.what, s.opt.NetNS, err)
		}
	}
	return st, nil
}

// collect dumps d into *to.
func collect[T any](ctx context.Context, s *scan, to *[]T, d rtnl.Dump, decode func(rtnl.Message, *T, *Report) error) error {
	from := len(*to)
	return s.conn.dumpAll(ctx, d, s.buf, func() { *to = (*to)[:from] }, func(m rtnl.Message) error {
		var x T
		if err := decode(m, &x, &s.report); err != nil {
			return err
		}
		*to = append(*to, x)
		return nil
	})
}

// lacking turns "this kernel has no such thing" into nothing to read.
func lacking(err error) error {
	var k *kernelError
	if errors.As(err, &k) && (k.errno == fib.EOPNOTSUPP || k.errno.Name() == "EAFNOSUPPORT") {
		return nil
	}
	return err
}

func (s *scan) links(ctx context.Context, st *fib.State) error {
	if err := collect(ctx, s, &st.Links, rtnl.Dump{Type: rtnl.RTM_GETLINK}, rtnl.DecodeLink); err != nil {
		return err
	}
	file, err := readIGMP("igmp")
	if err != nil {
		return err
	}
	igmp, groups, err := procnet.ParseIGMP(file)
	if err != nil {
		return err
	}
	if file, err = readIGMP("igmp6"); err != nil {
		return err
	}
	igmp6, err := procnet.ParseIGMP6(file)
	if err != nil {
		return err
	}
	names, err := addressOrder()
	if err != nil {
		return err
	}
	index := map[string]int32{}
	for i := range st.Links {
		l := &st.Links[i]
		l.Groups4 = groups[l.Index]
		index[l.Name] = l.Index
	}
	withAddress := make([]int32, 0, len(names))
	for _, n := range names {
		withAddress = append(withAddress, index[n]) // 0, for a label that is no link's name, is no link either
	}
	procnet.CreationOrder(st.Links, igmp, igmp6, withAddress)
	return nil
}

func (s *scan) addresses(ctx context.Context, st *fib.State) error {
	for _, fam := range s.families {
		d := rtnl.Dump{Type: rtnl.RTM_GETADDR, Family: fam}
		if err := collect(ctx, s, &st.Addresses, d, rtnl.DecodeAddress); err != nil {
			return err
		}
	}
	return nil
}

func (s *scan) rules(ctx context.Context, st *fib.State) error {
	for _, fam := range s.families {
		d := rtnl.Dump{Type: rtnl.RTM_GETRULE, Family: fam}
		err := collect(ctx, s, &st.Rules, d, func(m rtnl.Message, r *rules.Rule, rep *Report) error {
			var q rules.Request
			err := rtnl.DecodeRule(m, &q, rep)
			*r = q.Rule
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *scan) nexthops(ctx context.Context, st *fib.State) error {
	if err := lacking(collect(ctx, s, &st.Nexthops, rtnl.Dump{Type: rtnl.RTM_GETNEXTHOP}, rtnl.DecodeNexthop)); err != nil {
		return err
	}
	groups := map[uint32]*fib.NexthopObject{}
	for i := range st.Nexthops {
		if o := &st.Nexthops[i]; o.Resilient {
			groups[o.ID] = o
		}
	}
	if len(groups) == 0 {
		return nil
	}
	var buckets []rtnl.Bucket
	if err := lacking(collect(ctx, s, &buckets, rtnl.Dump{Type: rtnl.RTM_GETNEXTHOPBUCKET}, rtnl.DecodeBucket)); err != nil {
		return err
	}
	for _, b := range buckets {
		if o := groups[b.Group]; o != nil && int(b.Index) < len(o.Buckets) {
			o.Buckets[b.Index] = b.Member
		}
	}
	return nil
}

func (s *scan) labels(ctx context.Context, st *fib.State) error {
	if !slices.Contains(s.families, fib.Inet6) {
		return nil
	}
	d := rtnl.Dump{Type: rtnl.RTM_GETADDRLABEL, Family: fib.Inet6}
	return lacking(collect(ctx, s, &st.AddrLabels, d, rtnl.DecodeAddrLabel))
}

func (s *scan) neighbours(ctx context.Context, st *fib.State) error {
	for _, fam := range s.families {
		d := rtnl.Dump{Type: rtnl.RTM_GETNEIGH, Family: fam}
		if err := collect(ctx, s, &st.Neighbours, d, rtnl.DecodeNeighbour); err != nil {
			return fmt.Errorf("read neighbours of %v: %w", s.opt.NetNS, err)
		}
	}
	return nil
}

// sameMoment reports whether nothing of a and b differs but what changes by
// itself: lifetimes that run down and the buckets of resilient groups.
func sameMoment(a, b *fib.State) bool {
	return reflect.DeepEqual(still(a), still(b))
}

func still(st *fib.State) fib.State {
	c := *st
	c.Addresses = append([]fib.Address(nil), st.Addresses...)
	for i := range c.Addresses {
		c.Addresses[i].ValidLft, c.Addresses[i].PreferredLft = 0, 0
	}
	c.Nexthops = append([]fib.NexthopObject(nil), st.Nexthops...)
	for i := range c.Nexthops {
		c.Nexthops[i].Buckets = nil
	}
	c.Routes, c.Neighbours, c.Mode4, c.Mode6, c.UserLocalRoutes = nil, nil, 0, 0, 0
	return c
}
