package bench

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/flowgen"
)

// Flows returns n flows for s, of both families, output and input: three of four
// aim at the boundaries of what s holds (prefixes, selectors, addresses, links),
// one goes to a random address. The same seed gives the same flows.
func Flows(s *fib.Snapshot, n int, seed uint64) []fib.Flow {
	g := flowgen.New(s, seed, flowgen.Options{Input: true})
	r := rand.New(rand.NewPCG(seed, 0x666c6f7773))
	flows := make([]fib.Flow, n)
	for i := range flows {
		flows[i] = g.Next()
		if r.IntN(4) == 0 {
			flows[i].Dst = within(r, everything[flows[i].Dst.Is4()])
		}
	}
	return flows
}

// everything is where random addresses come from: unicast IPv4, and what is
// allocated of IPv6.
var everything = map[bool]netip.Prefix{true: netip.MustParsePrefix("0.0.0.0/0"), false: netip.MustParsePrefix("2000::/3")}

// Inside returns n output flows, each to a random address in a random one of the
// prefixes, which must not be empty.
func Inside(prefixes []netip.Prefix, n int, seed uint64) []fib.Flow {
	r := rand.New(rand.NewPCG(seed, 0x696e73696465))
	flows := make([]fib.Flow, n)
	for i := range flows {
		flows[i] = fib.Flow{Dst: within(r, prefixes[r.IntN(len(prefixes))])}
	}
	return flows
}

func within(r *rand.Rand, p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := range b {
		free := min(max((i+1)*8-p.Bits(), 0), 8) // bits of this byte beyond the prefix
		b[i] |= byte(r.Uint32()) & byte(1<<free-1)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// PerSecond answers flows in turn, over and over for about d, and returns how many
// answers there were per second, on one goroutine. A d of seconds and flows that
// exceed the caches make the number worth something.
func PerSecond(flows []fib.Flow, d time.Duration, answer func(fib.Flow) fib.Decision) float64 {
	if len(flows) == 0 {
		return 0
	}
	const chunk = 1024 // between two looks at the clock
	begin, done, sum := time.Now(), 0, int32(0)
	for time.Since(begin) < d {
		for range chunk {
			got := answer(flows[done%len(flows)])
			sum += got.Link
			done++
		}
	}
	unused.Store(sum)
	return float64(done) / time.Since(begin).Seconds()
}
