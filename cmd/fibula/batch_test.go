package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// answers are the lines of a batch's output.
func answers(t *testing.T, out string) (list []map[string]any) {
	t.Helper()
	for line := range strings.Lines(out) {
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &m), "%q", line)
		list = append(list, m)
	}
	return list
}

func TestBatchGoesOnAfterBadLines(t *testing.T) {
	in := strings.Join([]string{
		"192.0.2.1",
		"nonsense",
		"# a comment, and an empty line",
		"",
		"ip route get 192.0.2.2 # as for ip",
		"192.0.2.3 mark zz",
		`192.0.2.4 mark \`,
		"0x10000",
		`192.0.2.5 from "unclosed`,
		"192.0.2.6 oif nowhere",
		"172.16.0.1",
		strings.Repeat("x", maxLine+10),
		"192.0.2.7 \r",
		"fibmatch 192.0.2.8", // the last line has no line feed
	}, "\n")
	r := fibula(t, in, "get", "-j", "--state", routerState, "--batch", "-")
	assert.Equal(t, 1, r.code, "as ip -force -batch")
	assert.Empty(t, r.stderr)
	got := answers(t, r.stdout)
	type answer struct{ dst, errno, word string }
	want := []answer{
		{"192.0.2.1", "", ""}, {"", "EINVAL", "nonsense"}, {"192.0.2.2", "", ""}, {"", "EINVAL", "zz"}, {"192.0.2.4", "", ""},
		{"", "EINVAL", "unclosed"}, {"", "ENODEV", "nowhere"}, {"172.16.0.1", "EACCES", ""}, {"", "EINVAL", ""}, {"192.0.2.7", "", ""}, {"default", "", ""},
	}
	require.Len(t, got, len(want))
	for i, w := range want {
		if w.dst != "" {
			assert.Equal(t, w.dst, got[i]["dst"], i)
		}
		if w.errno == "" {
			assert.NotContains(t, got[i], "error", i)
			continue
		}
		if i != 8 { // too long a line has no errno of the kernel's
			assert.Equal(t, w.errno, got[i]["error"], "%d: %v", i, got[i])
		}
		assert.NotEmpty(t, got[i]["message"], i)
		assert.Contains(t, fmt.Sprint(got[i]["message"]), w.word, i)
	}
}

func TestBatchAsTextNamesLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "queries")
	require.NoError(t, os.WriteFile(file, []byte("192.0.2.1\n172.16.0.1\n192.0.2.2 mark zz\n192.0.2.3\n"), 0o600))
	r := fibula(t, "", "get", "--state", routerState, "--batch", file)
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, file+":2: RTNETLINK answers: Permission denied\n")
	assert.Contains(t, r.stderr, file+":3: ")
	var one strings.Builder
	for _, dst := range []string{"192.0.2.1", "192.0.2.3"} {
		one.WriteString(fibula(t, "", "get", "--state", routerState, dst).stdout)
	}
	assert.Equal(t, one.String(), r.stdout)
}

func TestBatchOfGoodLinesExits0(t *testing.T) {
	r := fibula(t, "192.0.2.1\n2001:db8:30::1\n", "get", "--state", routerState, "--batch", "-")
	assert.Zero(t, r.code, r.stderr)
	r = fibula(t, "", "get", "--state", routerState, "--batch", "-")
	assert.Equal(t, result{}, r, "an empty batch")
	r = fibula(t, "", "get", "--state", routerState, "--batch", "no/such/file")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "no/such/file")
}

// TestBatchEqualsSingleQueries asks many random queries at once and a few of them
// one by one. It also keeps the order.
func TestBatchEqualsSingleQueries(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TEST_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 0, 64)
		require.NoError(t, err)
		seed = n
	}
	t.Logf("TEST_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	queries := make([]string, 100_000)
	for i := range queries {
		dst := netip.AddrFrom4([4]byte{byte(r.IntN(224)), byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))})
		queries[i] = fmt.Sprintf("%v mark %#x uid %d", dst, []int{0, 0x10000, 0x20000}[r.IntN(3)], []int{0, 2050}[r.IntN(2)])
	}
	got := fibula(t, strings.Join(queries, "\n"), "get", "-j", "--state", routerState, "--batch", "-")
	lines := strings.SplitAfter(strings.TrimSuffix(got.stdout, "\n"), "\n")
	require.Len(t, lines, len(queries))
	for range 100 {
		i := r.IntN(len(queries))
		one := fibula(t, "", append([]string{"get", "-j", "--state", routerState}, strings.Fields(queries[i])...)...)
		single := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(one.stdout), "["), "]")
		assert.JSONEq(t, single, lines[i], queries[i])
	}
}
