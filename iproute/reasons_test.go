package iproute

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
)

const reasonsPage = "../docs/reasons.md"

// The page of all reasons says what the code says. To write it anew: REASONS_RECORD=1 go test
// -run TestReasonsPage ./iproute.
func TestReasonsPage(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Reasons\n\nWhy a step of `fibula explain` led on or was passed over: the code that `--json` has as `reason`, and its words in the text.\n" +
		"Codes are stable. Letters and numbers lead to [kernel-semantics.md](kernel-semantics.md). Made by `TestReasonsPage` in `iproute`.\n")
	for _, g := range reasonGroups(t) {
		fmt.Fprintf(&b, "\n## %s\n\n| code | means |\n| --- | --- |\n", g.title)
		for _, r := range g.reasons {
			fmt.Fprintf(&b, "| `%s` | %s |\n", r, reasonText(r))
		}
	}
	if os.Getenv("REASONS_RECORD") != "" {
		require.NoError(t, os.WriteFile(reasonsPage, []byte(b.String()), 0o644))
	}
	page, err := os.ReadFile(reasonsPage)
	require.NoError(t, err)
	assert.Equal(t, b.String(), string(page))
}

type reasonGroup struct {
	title   string
	reasons []fib.Reason
	names   []string // in Go
}

// reasonGroups are the reasons as their source has them, but for ReasonNone.
func reasonGroups(t *testing.T) (out []reasonGroup) {
	src, err := os.ReadFile("../fib/reason.go")
	require.NoError(t, err)
	_, block, _ := strings.Cut(string(src), "ReasonNone Reason = iota\n")
	block, _, _ = strings.Cut(block, "\n)")
	next := fib.ReasonNone + 1
	for line := range strings.Lines(block) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "// "); ok {
			out = append(out, reasonGroup{title: strings.TrimSuffix(title, ".")})
		} else if name, _, _ := strings.Cut(line, " "); strings.HasPrefix(name, "Reason") {
			g := &out[len(out)-1]
			g.reasons, g.names = append(g.reasons, next), append(g.names, name)
			next++
		}
	}
	require.True(t, strings.HasPrefix(next.String(), "reason("), "%v is in no group", next)
	return out
}

// A reason that nothing gives is none.
func TestEveryReasonIsGiven(t *testing.T) {
	files, err := filepath.Glob("../fib/*.go")
	require.NoError(t, err)
	var src strings.Builder
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") || filepath.Base(f) == "reason.go" {
			continue
		}
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		src.Write(b)
	}
	for _, g := range reasonGroups(t) {
		for _, name := range g.names {
			assert.Regexp(t, regexp.MustCompile(`\b`+name+`\b`), src.String())
		}
	}
}
