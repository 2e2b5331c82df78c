package main

import (
	"regexp"
	"slices"
	"testing"

	"github.com/fibula-net/fibula/internal/netnstest"
)

const hashSeed = "net.ipv4.fib_multipath_hash_seed"

// recordedCases are the cases of caseFiles with the answers of the
// running kernel: those of cases-6.1.jsonl, where they differ, up to 6.11, and those
// of 6.18 from there on. A case for which no answer was recorded on such a kernel is
// live.
func recordedCases(t *testing.T) []acceptanceCase {
	cases, old := readCases[acceptanceCase](t, caseFiles...), readCases[acceptanceCase](t, "cases-6.1.jsonl")
	first := len(readCases[question](t, caseFiles[0]))
	kernel, seeded := netnstest.Kernel(t), netnstest.Has(t, netnstest.HashSeed)
	for i := range cases {
		c := &cases[i]
		at := slices.IndexFunc(old, func(o acceptanceCase) bool { return o.Name == c.Name })
		switch _, needsSeed := c.Sysctl[hashSeed]; {
		case needsSeed && !seeded:
			delete(c.Sysctl, hashSeed)
			c.live = "the hash seed cannot be set"
		case at >= 0 && !kernel.AtLeast(6, 12):
			*c = old[at]
		case i >= first && !kernel.AtLeast(6, 18):
			c.live = "recorded on 6.18 only"
		case at >= 0 && !kernel.AtLeast(6, 18):
			c.live = "kernels between 6.12 and 6.18 answer in part as 6.1"
		}
	}
	return cases
}

// domainRule marks the cases in which a rule names a VRF as iif or oif, which
// changed in 6.15 (L16).
var domainRule = regexp.MustCompile(`-rule-(not-)?[io]if-vrf|-rule-removed-own-table-rule`)

// vrfCases are the cases of testdata/cases-vrf.jsonl, recorded on 6.1.
func vrfCases(t *testing.T) []acceptanceCase {
	cases := readCases[acceptanceCase](t, "cases-vrf.jsonl")
	if netnstest.Kernel(t).AtLeast(6, 15) {
		for i := range cases {
			if domainRule.MatchString(cases[i].Name) {
				cases[i].live = "since 6.15 iif and oif match by L3 domain"
			}
		}
	}
	return cases
}

// compareLive compares fibula's answers with those of the running kernel. An answer
// that depends on an unknown hash must be marked undetermined, and then the kernel's
// be among its candidates.
func compareLive(t *testing.T, ns *netnstest.NS, c acceptanceCase) string {
	for _, fibmatch := range []bool{false, true} {
		want, errno := kernelAnswer(t, ns, c, fibmatch)
		if f := c.compareAnswer([]string{"-n", ns.Name()}, fibmatch, want, errno); f != "" {
			return f
		}
	}
	return ""
}
