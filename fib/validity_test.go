package fib

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// validityRequest is one netlink request of the kernel's recorded answers.
type validityRequest struct {
	What   string
	Expect string // name of the errno; empty: accepted
	Msg    string
	Flags  []string
	Hdr    struct {
		DstLen int `json:"dst_len"`
		SrcLen int `json:"src_len"`
		Table, Protocol, Scope, Type,
		TOS, Flags int
	}
	Attrs [][]any // name, type, value
}

// route is the request as a Route; false where the API has no way to say it.
func (q *validityRequest) route(t *testing.T) (r Route, ok bool) {
	h := q.Hdr
	r = Route{Table: TableID(h.Table), Protocol: Protocol(h.Protocol), Scope: Scope(h.Scope), Type: RouteType(h.Type), TOS: uint8(h.TOS)}
	if q.Msg == "RTM_NEWROUTE" && h.Type == 0 {
		r.Type = TypeUnicast
	}
	var leg Nexthop
	ok = true
	for _, a := range q.Attrs {
		addr := func() netip.Addr { return netip.MustParseAddr(a[2].(string)) }
		switch a[0] {
		case "RTA_DST":
			r.Dst = netip.PrefixFrom(addr(), h.DstLen)
			ok = r.Dst.IsValid()
		case "RTA_SRC":
			r.Src = netip.PrefixFrom(addr(), h.SrcLen)
		case "RTA_GATEWAY":
			leg.Gateway = addr()
		case "RTA_OIF":
			leg.Link = map[string]int32{"lo": 1, "d0": 2, "d1": 3, "d2": 4}[a[2].(string)]
		case "RTA_PREFSRC":
			r.PrefSrc = addr()
		case "RTA_NH_ID":
			r.NexthopID = uint32(a[2].(float64))
		default:
			t.Fatalf("attribute %v", a[0])
		}
	}
	leg.Flags = NexthopFlags(h.Flags)
	if leg != (Nexthop{}) {
		r.Nexthops = []Nexthop{leg}
	}
	return r, ok
}

// The answers of a kernel to requests that test what it accepts, in order: each
// finds what those before it have left.
func TestRoutesAreAcceptedAsByAKernel(t *testing.T) {
	text, err := os.ReadFile("testdata/validity.json")
	require.NoError(t, err)
	var cases []struct {
		Name     string
		Setup    []string
		Requests []validityRequest
	}
	require.NoError(t, json.Unmarshal(text, &cases))
	require.Len(t, cases, 2)
	for i, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			f := twoUp(t)
			mustUpdate(t, f, func(tx *Txn) error { return validitySetup(tx, []Family{Inet, Inet6}[i]) })
			for n, q := range c.Requests {
				r, ok := q.route(t)
				if !ok {
					require.Equal(t, "EINVAL", q.Expect)
					continue
				}
				var flags AddFlags
				for _, name := range q.Flags {
					flags |= map[string]AddFlags{"REPLACE": Replace, "EXCL": Excl, "CREATE": Create, "APPEND": Append}[name]
				}
				_, err := f.Update(func(tx *Txn) error {
					if q.Msg == "RTM_DELROUTE" {
						return tx.DeleteRoute(r)
					}
					return tx.AddRoute(r, flags)
				})
				got := ""
				if e := Errno(0); errors.As(err, &e) {
					got = e.Name()
				} else if err != nil {
					got = err.Error()
				}
				require.Equal(t, q.Expect, got, "%d: %s: %v: %v", n+1, q.What, r.String(), err)
			}
		})
	}
}

// validitySetup is what the cases' setups add to twoUp.
func validitySetup(tx *Txn, f Family) error {
	errs := []error{tx.SetLink(ethernet(4, 0))}
	add := func(o NexthopObject) {
		_, err := tx.AddNexthop(o, OpAdd)
		errs = append(errs, err)
	}
	route := func(dst, gw string) {
		errs = append(errs, tx.AddRoute(Route{Dst: netip.MustParsePrefix(dst), Protocol: ProtoBoot, Nexthops: []Nexthop{{Gateway: netip.MustParseAddr(gw)}}}, OpAdd))
	}
	if f == Inet {
		errs = append(errs, tx.AddAddress(address(4, "10.4.0.1/24")))
		add(NexthopObject{ID: 5, Nexthop: Nexthop{Link: 2, Gateway: netip.MustParseAddr("10.1.0.2")}})
		route("10.9.0.0/16", "10.1.0.2")
	} else {
		add(NexthopObject{ID: 6, Nexthop: Nexthop{Link: 2, Gateway: netip.MustParseAddr("2001:db8:1::2")}})
		add(NexthopObject{ID: 5, Blackhole: true})
		route("2001:db8:9::/48", "2001:db8:1::2")
	}
	return errors.Join(errs...)
}

func TestNexthopRequestsAreChecked(t *testing.T) {
	gw := netip.MustParseAddr
	via := func(link int32, g string) Nexthop { return Nexthop{Link: link, Gateway: gw(g)} }
	group := func(ids ...uint32) (out []GroupMember) {
		for _, id := range ids {
			out = append(out, GroupMember{ID: id})
		}
		return out
	}
	for i, tc := range []struct {
		o     NexthopObject
		flags AddFlags
		want  Errno
	}{
		{NexthopObject{ID: 1, Nexthop: via(2, "10.1.0.2")}, OpAdd, EEXIST},
		{NexthopObject{ID: 9, Nexthop: via(2, "10.1.0.2")}, OpChange, ENOENT},
		{NexthopObject{Nexthop: via(2, "10.1.0.2")}, OpReplace, EINVAL},
		{NexthopObject{ID: 9, Nexthop: Nexthop{Gateway: gw("10.1.0.2")}}, OpAdd, EINVAL},
		{NexthopObject{ID: 9, Nexthop: via(7, "10.1.0.2")}, OpAdd, EINVAL},
		{NexthopObject{ID: 9, Nexthop: via(4, "10.1.0.2")}, OpAdd, ENETDOWN},
		{NexthopObject{ID: 9, Nexthop: via(2, "10.9.0.2")}, OpAdd, ENETUNREACH},
		{NexthopObject{ID: 9, Nexthop: via(2, "2001:db8:7::2")}, OpAdd, EHOSTUNREACH},
		{NexthopObject{ID: 9, Family: Inet, Nexthop: via(2, "2001:db8:1::2")}, OpAdd, EINVAL},
		{NexthopObject{ID: 9, Nexthop: Nexthop{Link: 2, Flags: FlagOnlink}}, OpAdd, EINVAL},
		{NexthopObject{ID: 9, Nexthop: Nexthop{Link: 2, Flags: FlagDead}}, OpAdd, EINVAL},
		{NexthopObject{ID: 9, Blackhole: true, Nexthop: Nexthop{Link: 2}}, OpAdd, EINVAL},
		{NexthopObject{ID: 9, FDB: true, Nexthop: via(2, "10.1.0.2")}, OpAdd, EINVAL},
		{NexthopObject{ID: 9, Resilient: true, Nexthop: via(2, "10.1.0.2")}, OpAdd, EINVAL},
		{NexthopObject{ID: 9, Group: group(1, 77)}, OpAdd, EINVAL},
		{NexthopObject{ID: 9, Group: group(1, 1)}, OpAdd, EINVAL},
		{NexthopObject{ID: 9, Group: group(1, 3)}, OpAdd, EINVAL}, // a blackhole among others
		{NexthopObject{ID: 9, Group: group(4)}, OpAdd, EINVAL},    // a group
		{NexthopObject{ID: 9, Group: group(5)}, OpAdd, EINVAL},    // fdb
		{NexthopObject{ID: 9, Group: group(1), Resilient: true}, OpAdd, EINVAL},
		{NexthopObject{ID: 1, Group: group(2)}, OpReplace, EINVAL},
		{NexthopObject{ID: 4, Nexthop: via(2, "10.1.0.2")}, OpReplace, EINVAL},
		{NexthopObject{ID: 1, Blackhole: true}, OpReplace, EINVAL},                                              // in a group with another
		{NexthopObject{ID: 2, Nexthop: via(2, "10.1.0.2")}, OpReplace, EINVAL},                                  // has an IPv6 route
		{NexthopObject{ID: 6, Resilient: true, Group: group(1), Buckets: make([]uint32, 9)}, OpReplace, EINVAL}, // another number of buckets
	} {
		f := twoUp(t)
		mustUpdate(t, f, func(tx *Txn) error {
			errs := []error{tx.SetLink(ethernet(4, 0))}
			for _, o := range []NexthopObject{
				{ID: 1, Nexthop: via(2, "10.1.0.2")}, {ID: 2, Nexthop: via(2, "2001:db8:1::2")}, {ID: 3, Blackhole: true},
				{ID: 4, Group: group(1, 2)}, {ID: 5, FDB: true, Nexthop: Nexthop{Gateway: gw("10.1.0.2")}},
				{ID: 6, Resilient: true, Group: group(1), Buckets: make([]uint32, 8)},
			} {
				_, err := tx.AddNexthop(o, OpAdd)
				errs = append(errs, err)
			}
			errs = append(errs, tx.AddRoute(Route{Dst: netip.MustParsePrefix("2001:db8:9::/48"), NexthopID: 2}, OpAdd))
			return errors.Join(errs...)
		})
		before := f.Snapshot()
		_, err := f.Update(func(tx *Txn) error { _, err := tx.AddNexthop(tc.o, tc.flags); return err })
		require.ErrorIs(t, err, tc.want, fmt.Sprint(i, tc.o))
		require.Same(t, before, f.Snapshot())
	}
}

func TestDeletedObjectTakesRoutesAndShrinksGroups(t *testing.T) {
	f := twoUp(t)
	mustUpdate(t, f, func(tx *Txn) error {
		one, err1 := tx.AddNexthop(NexthopObject{Nexthop: Nexthop{Link: 2, Gateway: netip.MustParseAddr("10.1.0.2")}}, OpAdd)
		two, err2 := tx.AddNexthop(NexthopObject{Nexthop: Nexthop{Link: 3, Gateway: netip.MustParseAddr("10.2.0.2")}}, OpAdd)
		_, err3 := tx.AddNexthop(NexthopObject{ID: 7, Group: []GroupMember{{ID: one}, {ID: two}}}, OpAdd)
		return errors.Join(err1, err2, err3,
			tx.AddRoute(Route{Dst: netip.MustParsePrefix("10.8.0.0/16"), NexthopID: one}, OpAdd),
			tx.AddRoute(Route{Dst: netip.MustParsePrefix("10.9.0.0/16"), NexthopID: 7}, OpAdd))
	})
	routes := func() (out []string) {
		for r := range f.Snapshot().RoutesOf(Inet, TableMain) {
			if r.NexthopID != 0 {
				out = append(out, r.Dst.String())
			}
		}
		return out
	}
	mustUpdate(t, f, func(tx *Txn) error { return tx.DeleteNexthop(1) })
	require.Equal(t, []string{"10.9.0.0/16"}, routes())
	require.Equal(t, []GroupMember{{ID: 2, Weight: 1}}, f.Snapshot().objects[7].Group)
	mustUpdate(t, f, func(tx *Txn) error { return tx.SetLink(ethernet(3, LinkUp)) })
	require.Empty(t, routes(), "the carrier of the last member went")
	require.Empty(t, f.Snapshot().objects)
	_, err := f.Update(func(tx *Txn) error { return tx.DeleteNexthop(1) })
	require.ErrorIs(t, err, ENOENT)
}
