package lookuptest

import (
	"fmt"
	"net/netip"
)

// Uniform returns n addresses spread evenly over all of IPv4 if family is 4, over
// 2000::/3 if it is 6. It panics on another family.
func Uniform(family, n int, seed uint64) []netip.Addr {
	within := map[int]netip.Prefix{4: netip.MustParsePrefix("0.0.0.0/0"), 6: netip.MustParsePrefix("2000::/3")}[family]
	if !within.IsValid() {
		panic(fmt.Sprintf("lookuptest: family %d: want 4 or 6", family))
	}
	return Matching([]netip.Prefix{within}, n, seed)
}

// Matching returns n addresses, each a random one in a random one of prefixes, which
// must not be empty.
func Matching(prefixes []netip.Prefix, n int, seed uint64) []netip.Addr {
	random := source(seed)
	addrs := make([]netip.Addr, n)
	for k := range addrs {
		addrs[k] = randomIn(prefixes[random.IntN(len(prefixes))], random.Uint64)
	}
	return addrs
}
