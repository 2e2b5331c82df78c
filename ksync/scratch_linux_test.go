package ksync_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/ksync"
)

// A namespace rebuilt from a state holds the same. The kernel refuses few routes:
// those that could only be entered before another one was there (B30).
func TestRebuiltNamespaceIsTheSame(t *testing.T) {
	netnstest.Require(t)
	seed := randtest.Seed(t)
	var mu sync.Mutex
	routes, missing := 0, 0
	t.Run("configs", func(t *testing.T) {
		for n := range uint64(randtest.Fewer(20)) {
			t.Run(strconv.FormatUint(n, 10), func(t *testing.T) {
				t.Parallel()
				want := load(t, configure(t, seed+n))
				rebuilt, closeIt, err := ksync.Rebuild(t.Context(), want)
				require.NoError(t, err)
				defer closeIt()
				f, err := ksync.Load(t.Context(), ksync.Options{NetNS: rebuilt})
				require.NoError(t, err)
				got := f.Snapshot().State()
				assert.Equal(t, want.Rules, got.Rules)
				assert.Equal(t, want.Sysctls.All4, got.Sysctls.All4)
				assert.Equal(t, want.Sysctls.Multipath4, got.Sysctls.Multipath4)
				assert.Equal(t, want.Sysctls.Multipath6, got.Sysctls.Multipath6)
				assert.Equal(t, want.Nexthops, got.Nexthops)
				assert.ElementsMatch(t, addressTexts(want), addressTexts(got))
				have := map[string]int{}
				for i := range got.Routes {
					have[routeText(&got.Routes[i])]++
				}
				mu.Lock()
				defer mu.Unlock()
				for i := range want.Routes {
					text := routeText(&want.Routes[i])
					if routes++; have[text] == 0 {
						missing++
						t.Logf("seed %d: not there: %s", seed+n, text)
					}
					have[text]--
				}
			})
		}
	})
	assert.Less(t, missing, routes/50, "of %d routes", routes)
}

func addressTexts(st *fib.State) (out []string) {
	for _, a := range st.Addresses {
		out = append(out, fmt.Sprintf("%d %v %v %v %#x", a.Link, a.Local, a.Prefix, a.Scope, a.Flags&^(fib.AddrNoDAD|fib.AddrPermanent)))
	}
	return out
}

func routeText(r *fib.Route) string {
	return fmt.Sprintf("%v type %v scope %v proto %v prefsrc %v flags %v legs %v", r, r.Type, r.Scope, r.Protocol, r.PrefSrc, r.Flags, r.Nexthops)
}
