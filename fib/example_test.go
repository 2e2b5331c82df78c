package fib_test

import (
	"fmt"
	"net/netip"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// A host with one uplink, where a rule sends what bears mark 7 to table 100.
func Example() {
	f := fib.New(fib.Config{})
	_, err := f.Update(func(tx *fib.Txn) error { // all of it or nothing
		up := fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp
		if err := tx.SetLink(fib.Link{Index: 2, Name: "eth0", Flags: up, MTU: 1500}); err != nil {
			return err
		}
		own := netip.MustParsePrefix("192.0.2.2/24")
		if err := tx.AddAddress(fib.Address{Link: 2, Local: own.Addr(), Prefix: own}); err != nil {
			return err
		}
		for _, r := range []fib.Route{
			{Dst: netip.MustParsePrefix("0.0.0.0/0"), Type: fib.TypeUnicast,
				Nexthops: []fib.Nexthop{{Gateway: netip.MustParseAddr("192.0.2.1")}}},
			{Dst: netip.MustParsePrefix("198.51.100.0/24"), Type: fib.TypeProhibit, Table: 100},
		} {
			if err := tx.AddRoute(r, fib.OpAdd); err != nil {
				return err
			}
		}
		marked := rules.Rule{Family: fib.Inet, Mark: 7, Action: rules.ActLookup, Table: 100}
		_, err := tx.AddRule(rules.Request{Rule: marked}, fib.OpAdd)
		return err
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	s := f.Snapshot() // never changes
	flow := fib.Flow{Dst: netip.MustParseAddr("198.51.100.9")}
	d := s.Resolve(flow) // takes no lock, waits for nobody, does not allocate
	fmt.Println("via", d.Gateway, "from", d.Source, "by", d.Prefix, "in table", d.Table)

	flow.Mark = 7
	d = s.Resolve(flow)
	fmt.Printf("%v: rule %d, %v in table %v\n", d.Errno, d.Rule, d.Prefix, d.Table)
	for _, step := range s.Explain(flow).Steps {
		if step.Kind == fib.StepRule {
			fmt.Printf("%v: %v\n", step.Rule, step.Reason)
		}
	}
	// Output:
	// via 192.0.2.1 from 192.0.2.2 by 0.0.0.0/0 in table main
	// Permission denied: rule 32765, 198.51.100.0/24 in table 100
	// 0:	from all lookup local: matched
	// 32765:	from all fwmark 0x7 lookup 100: matched
}
