package rebuild

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/conformance"
	"github.com/fibula-net/fibula/rules"
)

// ruleSteps are the steps about rules that a plan for st takes.
func ruleSteps(t *testing.T, st *fib.State) (out []string) {
	steps, err := Plan(st, Options{Fresh: fib.DefaultSysctls()})
	require.NoError(t, err)
	for _, s := range steps {
		if strings.Contains(s.Text, " rule ") {
			out = append(out, strings.TrimPrefix(s.Text, "ip -n "+Name+" "))
		}
	}
	return out
}

// The first VRF brings a rule of each family, which must not be there twice and goes
// where it was deleted.
func TestVRFsBringTheirRule(t *testing.T) {
	conformance.CoversEngine(t, "L2")
	st := &fib.State{Sysctls: fib.DefaultSysctls(), Mode4: fib.ModeRules, Links: []fib.Link{{Index: 9, Name: "red", Kind: "vrf", VRFTable: 100}}}
	initial := func(f fib.Family) (out []rules.Rule) {
		for _, r := range rules.Initial(f).All() {
			out = append(out, r)
		}
		return out
	}
	domain := func(f fib.Family, protocol uint8) rules.Rule {
		return rules.Rule{Family: f, Priority: 1000, Action: rules.ActLookup, L3MDev: true, Protocol: protocol}
	}
	st.Rules = slices.Concat(initial(fib.Inet), initial(fib.Inet6))
	assert.Equal(t, []string{"rule del pref 1000 l3mdev", "-6 rule del pref 1000 l3mdev"}, ruleSteps(t, st))

	st.Rules = append(st.Rules, domain(fib.Inet, 2), domain(fib.Inet6, 2))
	assert.Empty(t, ruleSteps(t, st))

	st.Rules = append(st.Rules, domain(fib.Inet, 3))
	assert.Subset(t, ruleSteps(t, st), []string{"rule del pref 1000 l3mdev", "rule add pref 1000 l3mdev", "rule add pref 1000 l3mdev proto 3"}, "in this order")
}
