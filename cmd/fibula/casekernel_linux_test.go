package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/iproute"
)

// kernelAgrees asks the kernel at hand through ip(8) and fails the test unless its
// answer is the recorded one: what a case proves of fibula it then proves of this
// kernel too.
func kernelAgrees(t *testing.T, ns *netnstest.NS, c acceptanceCase, fibmatch bool, want map[string]any, wantErrno string) {
	t.Helper()
	got, errno := kernelAnswer(t, ns, c, fibmatch)
	assert.Equal(t, wantErrno, errno, "the kernel's own answer, fibmatch %t", fibmatch)
	for k := range want {
		if !slices.Contains(volatileKeys, k) {
			assert.Equal(t, want[k], got[k], "the kernel's own answer, fibmatch %t: %s", fibmatch, k)
		}
	}
	for k := range got {
		assert.Contains(t, want, k, "the kernel's own answer, fibmatch %t", fibmatch)
	}
}

// kernelAnswer is what ip(8) prints, or the name of the errno.
func kernelAnswer(t *testing.T, ns *netnstest.NS, c acceptanceCase, fibmatch bool) (got map[string]any, errno string) {
	t.Helper()
	words := strings.Fields(c.Query)
	var line []string
	if words[0] == "-6" || words[0] == "-4" {
		line, words = append(line, words[0]), words[1:]
	}
	line = append(line, "-j", "route", "get")
	if fibmatch {
		line = append(line, "fibmatch")
	}
	stdout, stderr, code := ns.TryIP(strings.Join(append(line, words...), " "))
	if code != 0 {
		for e := fib.Errno(1); e < 134; e++ {
			if iproute.Answers(e) == strings.TrimSpace(stderr) {
				return nil, e.Name()
			}
		}
		require.Fail(t, "ip could not ask the kernel", "exit %d: %s", code, stderr)
	}
	got, err := firstObject([]byte(stdout))
	require.NoError(t, err)
	for _, k := range volatileKeys {
		delete(got, k)
	}
	return got, ""
}
