package procnet

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
)

const heading = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n"

func TestParseIGMP(t *testing.T) {
	four, five := netip.MustParseAddr("224.0.0.1"), netip.MustParseAddr("224.0.0.251")
	for machine, text := range map[string]string{
		"little-endian": heading + "1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n" +
			"50\td0        :     2      V3\n\t\t\t\tFB0000E0     1 0:00000000\t\t0\n\t\t\t\t010000E0     1 0:00000000\t\t0\n",
		"big-endian": heading + "1\tlo        :     1      V3\n\t\t\t\tE0000001     1 0:00000000\t\t0\n" +
			"50\td0        :     2      V3\n\t\t\t\tE00000FB     1 0:00000000\t\t0\n\n\t\t\t\tE0000001     1 0:00000000\t\t0\n",
	} {
		order, groups, err := ParseIGMP([]byte(text))
		require.NoError(t, err, machine)
		assert.Equal(t, []int32{1, 50}, order, machine)
		assert.Equal(t, map[int32][]netip.Addr{1: {four}, 50: {five, four}}, groups, machine)
	}
	for bad, want := range map[string]string{
		heading + "\t010000E0\n":               `line 2: "010000E0" is no multicast group of a link`,
		heading + "1 lo\n\tzz\n":               `line 3: "zz"`,
		heading + "1 lo\n\t0100000A\n":         `line 3: "0100000A"`,
		heading + "seven d0\n":                 `line 2: "seven" is no index`,
		heading + "0\td0\n":                    `line 2: "0" is no index`,
		heading + "4294967297\td0\n":           "is no index",
		heading + "1 lo\n\t010000E0010000E0\n": "is no multicast group",
	} {
		_, _, err := ParseIGMP([]byte(bad))
		assert.ErrorContains(t, err, want, "%q", bad)
	}
}

func TestParseIGMP6(t *testing.T) {
	order, err := ParseIGMP6([]byte("1    lo              ff020000000000000000000000000001     1 0000000C 0\n" +
		"1    lo              ff010000000000000000000000000001     1 00000008 0\n\n" +
		"50   d0              ff020000000000000000000000000001     1 0000000C 0\n"))
	require.NoError(t, err)
	assert.Equal(t, []int32{1, 50}, order)
	_, err = ParseIGMP6([]byte("1 lo\nd0 50\n"))
	require.ErrorContains(t, err, `igmp6: line 2: "d0"`)
	order, err = ParseIGMP6(nil)
	require.NoError(t, err)
	assert.Empty(t, order)
}

func FuzzParseIGMP(f *testing.F) {
	f.Add([]byte(heading + "1\tlo\n\t010000E0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		order, groups, err := ParseIGMP(b)
		if err != nil {
			return
		}
		for link, all := range groups {
			assert.Contains(t, order, link)
			for _, a := range all {
				assert.True(t, a.IsMulticast())
			}
		}
	})
}

func TestParseRelease(t *testing.T) {
	for s, want := range map[string]fib.KernelVersion{
		"6.18.44-fc": {Major: 6, Minor: 18, Patch: 44}, "6.1": {Major: 6, Minor: 1}, "6.19-rc2": {Major: 6, Minor: 19},
		"5.10.0+": {Major: 5, Minor: 10}, "4.20.1.2-x": {Major: 4, Minor: 20, Patch: 1}, "6.18.y": {Major: 6, Minor: 18},
		"6.18-4.7": {Major: 6, Minor: 18}, "6.1.0-13-amd64": {Major: 6, Minor: 1},
		"6.1.0-56-cloud-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-10-01)": {Major: 6, Minor: 1, Patch: 192},
		"6.18.44 #2 SMP built with 6.17.9 on 7.1.200":                               {Major: 6, Minor: 18, Patch: 44},
	} {
		got, err := ParseRelease(s)
		require.NoError(t, err, s)
		assert.Equal(t, want, got, s)
	}
	for _, s := range []string{"", "linux", "a.b.c", "6", "6.", "6.x", "-6.1", "99999999999.1", "6 .1"} {
		_, err := ParseRelease(s)
		assert.ErrorContains(t, err, "expected a release such as 6.18.44", s)
	}
}
