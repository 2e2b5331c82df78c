package rules_test

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/fibula-net/fibula/rules"
)

func Example() {
	l := rules.Initial(rules.Inet)
	r := rules.Rule{
		Family: rules.Inet,
		Action: rules.ActLookup,
		From:   netip.MustParsePrefix("10.1.0.0/16"),
		Mark:   7,
		Table:  50,
	}
	l, _, err := l.Add(rules.Request{Rule: r}, rules.AddFlags{Excl: true})
	if err != nil {
		fmt.Println(err)
	}
	f := rules.Flow{Family: rules.Inet, Src: netip.MustParseAddr("10.1.2.3"), Iif: 1}
	for i, r := range l.All() {
		matched, failed, _ := l.Match(i, &f, rules.Profile{})
		fmt.Println(r, matched, failed)
	}
	r.Priority = 32765
	_, _, err = l.Add(rules.RequestOf(r), rules.AddFlags{Excl: true})
	fmt.Println(errors.Is(err, syscall.EEXIST))
	// Output:
	// 0:	from all lookup local true none
	// 32765:	from 10.1.0.0/16 fwmark 0x7 lookup 50 false fwmark
	// 32766:	from all lookup main true none
	// 32767:	from all lookup default true none
	// true
}
