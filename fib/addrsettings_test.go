package fib

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Either setting promotes a secondary whose primary goes; without, it goes as well (E3).
func TestEitherSettingPromotesSecondaries(t *testing.T) {
	for _, c := range []struct{ all, own bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
		f := twoUp(t)
		first, second := address(2, "10.5.0.1/24"), address(2, "10.5.0.2/24")
		mustUpdate(t, f, func(tx *Txn) error {
			sysctls := f.Snapshot().sysctls
			sysctls.All4.PromoteSecondaries = c.all
			l, _ := f.Snapshot().Link(2)
			l.Conf4.PromoteSecondaries = c.own
			return errors.Join(tx.SetSysctls(sysctls), tx.SetLink(l), tx.AddAddress(first), tx.AddAddress(second), tx.DeleteAddress(first))
		})
		connected, local := "10.5.0.0/24 dev 2", "local 10.5.0.2/32 dev 2"
		if c.all || c.own {
			require.Contains(t, fmt.Sprint(listing(f.Snapshot(), Inet, TableMain)), connected, "%+v", c)
			require.Contains(t, fmt.Sprint(listing(f.Snapshot(), Inet, TableLocal)), local, "%+v", c)
		} else {
			require.NotContains(t, fmt.Sprint(listing(f.Snapshot(), Inet, TableMain)), connected)
			require.NotContains(t, fmt.Sprint(listing(f.Snapshot(), Inet, TableLocal)), local)
		}
	}
}

// A router answers to the subnet's anycast address up to prefix length 126 (D32).
func TestAnycastNeedsAPrefixOf126Bits(t *testing.T) {
	for prefix, want := range map[string]bool{"2001:db8:5::9/64": true, "2001:db8:5::9/126": true, "2001:db8:5::9/127": false, "2001:db8:5::9/128": false} {
		f := twoUp(t)
		mustUpdate(t, f, func(tx *Txn) error {
			l, _ := f.Snapshot().Link(2)
			l.Conf6.Forwarding = true
			return errors.Join(tx.SetLink(l), tx.AddAddress(address(2, prefix)))
		})
		any := netip.MustParsePrefix(prefix).Masked().Addr()
		all := fmt.Sprint(listing(f.Snapshot(), Inet6, TableLocal))
		require.Equal(t, want, strings.Contains(all, "anycast "+any.String()+"/128 dev 2"), "%s: %s", prefix, all)
	}
}

// keep_addr_on_down keeps what was entered for ever, not what came with a lifetime, and
// no link-local address (E12).
func TestKeepAddrOnDownKeepsPermanentAddresses(t *testing.T) {
	permanent, limited, local := address(2, "2001:db8:5::1/64"), address(2, "2001:db8:6::1/64"), address(2, "fe80::5/64")
	limited.ValidLft, limited.PreferredLft = 100, 100
	limited.Flags &^= AddrPermanent
	for _, keep := range []int32{0, 1} {
		f := twoUp(t)
		mustUpdate(t, f, func(tx *Txn) error {
			l, _ := f.Snapshot().Link(2)
			l.Conf6.KeepAddrOnDown = keep
			err := errors.Join(tx.SetLink(l), tx.AddAddress(permanent), tx.AddAddress(limited), tx.AddAddress(local))
			l.Flags &^= LinkUp | LinkRunning | LinkLowerUp
			return errors.Join(err, tx.SetLink(l))
		})
		var left []netip.Addr
		for _, a := range f.Snapshot().State().Addresses {
			if a.Link == 2 && a.Local.Is6() {
				left = append(left, a.Local)
			}
		}
		if keep == 1 {
			require.Contains(t, left, permanent.Local)
		} else {
			require.NotContains(t, left, permanent.Local)
		}
		require.NotContains(t, left, limited.Local)
		require.NotContains(t, left, local.Local)
	}
}

// A route may prefer an address as its source once it is in use: after the search for
// duplicates, or at once if it is optimistic (D53).
func TestPreferredSourceIsInUse(t *testing.T) {
	for flags, refused := range map[AddrFlags]error{0: nil, AddrTentative: EINVAL, AddrTentative | AddrOptimistic: nil} {
		f := twoUp(t)
		a := address(2, "2001:db8:5::1/64")
		a.Flags |= flags
		r := Route{Table: TableMain, Dst: netip.MustParsePrefix("2001:db8:9::/48"), Type: TypeUnicast, PrefSrc: a.Local, Nexthops: []Nexthop{{Link: 2}}}
		_, err := f.Update(func(tx *Txn) error { return errors.Join(tx.AddAddress(a), tx.AddRoute(r, OpAdd)) })
		if refused == nil {
			require.NoError(t, err, "flags %#x", flags)
			continue
		}
		require.ErrorIs(t, err, refused, "flags %#x", flags)
		mustUpdate(t, f, func(tx *Txn) error {
			return errors.Join(tx.AddAddress(a), tx.ConfirmAddress(2, a.Local), tx.AddRoute(r, OpAdd))
		})
	}
}
