package iproute

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSplitLine(t *testing.T) {
	for line, want := range map[string][]string{
		"":                               {},
		"  # all comment":                {},
		"10.0.0.1 # rest":                {"10.0.0.1"},
		"a\tb\r\n":                       {"a", "b"},
		`oif "a b" 'c"d' x`:              {"oif", "a b", `c"d`, "x"},
		`a""b "" c`:                      {`a""b`, "", "c"},
		`"a"b`:                           {"a", "b"},
		"route get 10.0.0.1":             {"10.0.0.1"},
		"ip r g 10.0.0.1 oif d0":         {"10.0.0.1", "oif", "d0"},
		"ipproto tcp":                    {"ipproto", "tcp"},
		"r":                              {"r"},
		"ip route show":                  {"ip", "route", "show"},
		"from route get":                 {"from", "route", "get"},
		"route get fibmatch to 10.0.0.1": {"fibmatch", "to", "10.0.0.1"},
	} {
		got, err := SplitLine([]string{}, line)
		require.NoError(t, err, line)
		assert.Equal(t, want, got, line)
	}
	_, err := SplitLine(nil, `10.0.0.1 oif "abc`)
	require.ErrorContains(t, err, `the quote in `+"`"+`\"abc`)
	assert.Equal(t, ExitInput, ExitCode(err))
	kept, err := SplitLine([]string{"kept"}, "x y")
	require.NoError(t, err)
	assert.Equal(t, []string{"kept", "x", "y"}, kept)
}

func TestContinues(t *testing.T) {
	for line, want := range map[string]string{"a \\\n": "a ", "a\\\r\n": "a", "a\\": "a"} {
		got, more := Continues(line)
		assert.True(t, more, line)
		assert.Equal(t, want, got)
	}
	for _, line := range []string{"a\n", "a # b\\\n", ""} {
		got, more := Continues(line)
		assert.False(t, more, line)
		assert.Equal(t, line, got)
	}
}

func TestSplitLineDoesNotAllocate(t *testing.T) {
	words := make([]string, 0, 16)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		var err error
		if words, err = SplitLine(words[:0], `route get 10.0.0.1 from "10.0.0.2" iif d0 # x`); err != nil {
			t.Fatal(err)
		}
	}))
}

func FuzzBatchLine(f *testing.F) {
	f.Add("10.0.0.1 from 10.0.0.2 # comment")
	f.Add(`oif "a b" 'c`)
	f.Add("ip route get\x00 \\\n")
	f.Fuzz(func(t *testing.T, line string) {
		words, err := SplitLine(nil, line)
		if err != nil {
			require.Empty(t, words)
			require.NotContains(t, err.Error(), "\n")
			return
		}
		quoted := make([]string, 0, len(words))
		for _, w := range words {
			require.NotContains(t, w, "#")
			require.Contains(t, line, w)
			if q := QuoteWord(w); !strings.Contains(w, `"`) || !strings.Contains(w, `'`) {
				quoted = append(quoted, q)
			} else {
				return
			}
		}
		again, err := SplitLine(nil, strings.Join(quoted, " "))
		require.NoError(t, err)
		if len(words) > 1 && len(dropCommand(words)) != len(words) {
			return // a command remained after the first one was dropped
		}
		require.Equal(t, append([]string{}, words...), append([]string{}, again...))
	})
}
