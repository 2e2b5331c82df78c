package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func runWith(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(context.Background(), args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// An unset variable of a shell must not lead to another host's answer.
func TestEmptySourceIsRefused(t *testing.T) {
	for _, args := range [][]string{{"-n", ""}, {"--state", ""}, {"--state="}, {"--pid", "0"}} {
		code, stdout, stderr := runWith(append(args, "get", "192.0.2.1")...)
		assert.Equal(t, 255, code, args)
		assert.Empty(t, stdout, args)
		assert.Contains(t, stderr, "is empty", args)
	}
}

// With -j whatever fails gives an object on standard output.
func TestEveryFailureIsAnObject(t *testing.T) {
	for _, line := range []string{
		"get 8.8.8.8 mark -1", "get 8.8.8.8 uid -1", "get --batch testdata/none", "state show testdata/none", "get --bogus 192.0.2.1",
		"-4 -6 get 192.0.2.1", "--engine foo get 192.0.2.1", "-n '' get 192.0.2.1", "nonsense",
	} {
		code, stdout, stderr := runWith(append([]string{"-j", "--state", "testdata/router.json"}, strings.Fields(line)...)...)
		assert.NotZero(t, code, line)
		assert.NotEmpty(t, stderr, line)
		var object struct{ Error, Message string }
		require.NoError(t, json.Unmarshal([]byte(stdout), &object), "%s: %q", line, stdout)
		assert.NotEmpty(t, object.Error, line)
		assert.NotEmpty(t, object.Message, line)
	}
}

// Without rules in force an answer names the initial rule of its table (A8).
func TestRuleIsNamedWhereNoneIsWalked(t *testing.T) {
	for dst, want := range map[string]string{"10.1.0.1": `"rule":0,`, "10.9.0.1": `"rule":32766,`, "2001:db8::1": `"rule":0,`, "2001:db8:9::1": `"rule":32766,`} {
		_, stdout, stderr := runWith("-j", "--state", "testdata/merged.json", "get", dst)
		assert.Contains(t, stdout, want, "%s %s", dst, stderr)
	}
}

// Which leg the hash takes a stored IPv4 route does not show.
func TestStoredRouteIsCertain(t *testing.T) {
	_, plain, _ := runWith("-j", "--state", "testdata/merged.json", "get", "10.8.0.1")
	assert.Contains(t, plain, `"undetermined":["hash"]`)
	assert.Contains(t, plain, `"candidates":[{`)
	_, stored, stderr := runWith("-j", "--state", "testdata/merged.json", "get", "fibmatch", "10.8.0.1")
	assert.Contains(t, stored, `"nexthops"`)
	assert.NotContains(t, stored, "undetermined", stderr)
}
