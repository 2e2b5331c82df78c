package plan_test

import (
	"iter"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/ksync/plan"
	"github.com/fibula-net/fibula/ksync/plan/plantest"
	"github.com/fibula-net/fibula/rules"
)

var owner = plantest.Owner

func gen(seed uint64, n int) plantest.Gen {
	return plantest.Gen{Rand: rand.New(rand.NewPCG(seed, uint64(n)))}
}

func base(t testing.TB) *fib.FIB {
	t.Helper()
	f, err := plantest.Base()
	require.NoError(t, err)
	return f
}

// actualOf is a FIB as a kernel would show it.
func actualOf(f *fib.FIB, complete bool) plan.Actual {
	s := f.Snapshot()
	a := plan.Actual{Complete: complete, Nexthops: s.Nexthops(), Rules: append(s.Rules(fib.Inet), s.Rules(fib.Inet6)...)}
	a.Routes = func(fam fib.Family, t fib.TableID) iter.Seq2[*fib.Route, error] {
		return func(yield func(*fib.Route, error) bool) {
			s.EachRoute(fam, t, func(r *fib.Route) bool {
				if !complete && r.Protocol != plantest.Ours {
					return true
				}
				return yield(r, nil)
			})
		}
	}
	a.Users = func(id uint32) (string, bool) {
		for r := range s.Routes() {
			if r.NexthopID == id && !owner.OwnsRoute(&r) {
				return "route " + r.String(), true
			}
		}
		return "", false
	}
	return a
}

// apply does one operation to a FIB.
func apply(f *fib.FIB, op plan.Op) error {
	_, err := f.Update(func(tx *fib.Txn) (err error) {
		flags := [...]fib.AddFlags{plan.Add: fib.OpAdd, plan.Append: fib.OpAppend, plan.Replace: fib.OpReplace}
		switch {
		case op.Kind == plan.Nexthop && op.Verb == plan.Delete:
			return tx.DeleteNexthop(op.Nexthop.ID)
		case op.Kind == plan.Nexthop:
			_, err = tx.AddNexthop(*op.Nexthop, flags[op.Verb])
		case op.Kind == plan.Route && op.Verb == plan.Delete:
			return tx.DeleteRoute(*op.Route)
		case op.Kind == plan.Route:
			return tx.AddRoute(*op.Route, flags[op.Verb])
		case op.Verb == plan.Delete:
			_, err = tx.DeleteRule(rules.RequestOf(*op.Rule))
		default:
			_, err = tx.AddRule(rules.RequestOf(*op.Rule), 0)
		}
		return err
	})
	return err
}

type routeSeq = iter.Seq2[*fib.Route, error]

func fib4(b [4]byte) netip.Addr  { return netip.AddrFrom4(b) }
func fib6(b [16]byte) netip.Addr { return netip.AddrFrom16(b) }

// count is how many configurations are tried; PLAN_CONFIGS sets another number.
func count(n int) int {
	if v, err := strconv.Atoi(os.Getenv("PLAN_CONFIGS")); err == nil && v > 0 {
		return v
	}
	return n
}

// byteSource lets a fuzzer decide; a generator goes on where its bytes end.
type byteSource struct {
	data []byte
	rest *rand.PCG
}

func (s *byteSource) Uint64() uint64 {
	if len(s.data) == 0 {
		return s.rest.Uint64()
	}
	// The high bits decide, so the byte goes there.
	word := uint64(s.data[0]) << 56
	s.data = s.data[1:]
	return word
}
