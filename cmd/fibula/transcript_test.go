package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/iproute"
)

// TestTranscripts runs each "$ fibula …" in a console block of the README and of
// the pages of docs and examples, in the page's directory, and compares what it
// prints with what the page shows. FIBULA_UPDATE=1 writes the pages anew. What
// needs a kernel stands in sh blocks, which are not run.
func TestTranscripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	commands := 0
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*/*.md"} {
		pages, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		for _, page := range pages {
			name, err := filepath.Rel(root, page)
			require.NoError(t, err)
			t.Run(name, func(t *testing.T) {
				t.Chdir(filepath.Dir(page))
				commands += checkPage(t, page, nil)
			})
		}
	}
	require.Greater(t, commands, 15, "the pages show too little")
}

// TestGolden does the same for testdata/transcripts, with each engine.
func TestGolden(t *testing.T) {
	pages, err := filepath.Glob("testdata/transcripts/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, pages)
	t.Chdir("testdata")
	for _, page := range pages {
		page := filepath.Join("transcripts", filepath.Base(page))
		for _, engine := range engineNames() {
			t.Run(filepath.Base(page)+"/"+engine, func(t *testing.T) {
				require.Positive(t, checkPage(t, page, []string{"--engine", engine}))
			})
		}
	}
}

// checkPage returns how many commands the page has.
func checkPage(t *testing.T, page string, opts []string) int {
	before, err := os.ReadFile(page)
	require.NoError(t, err)
	after, commands := replayPage(t, string(before), opts)
	if os.Getenv("FIBULA_UPDATE") != "" {
		require.NoError(t, os.WriteFile(page, []byte(after), 0o644))
	} else {
		assert.Equal(t, string(before), after)
	}
	return commands
}

// replayPage returns the page with what its commands print now. Standard output
// and error come as they do on a terminal.
func replayPage(t *testing.T, page string, opts []string) (out string, commands int) {
	var b strings.Builder
	inBlock, skipping := false, false
	for line := range strings.Lines(page) {
		text := strings.TrimSuffix(line, "\n")
		switch {
		case text == "```console":
			inBlock = true
		case strings.HasPrefix(text, "```"):
			inBlock, skipping = false, false
		case inBlock && strings.HasPrefix(text, "$ fibula "):
			commands++
			skipping = true
			b.WriteString(line)
			words := strings.Fields(strings.TrimPrefix(text, "$ fibula "))
			run(t.Context(), append(words, opts...), strings.NewReader(""), &b, &b)
			continue
		case inBlock && strings.HasPrefix(text, "$ "):
			skipping = false // another program: shown as it is
		}
		if !skipping {
			b.WriteString(line)
		}
	}
	return b.String(), commands
}

func readme(t *testing.T) string {
	b, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	return string(b)
}

// TestReadmeShowsTheExample keeps the README's Go the compiled one.
func TestReadmeShowsTheExample(t *testing.T) {
	_, after, found := strings.Cut(readme(t), "```go\n")
	require.True(t, found, "the README has no Go")
	snippet, _, _ := strings.Cut(after, "```\n")
	example, err := os.ReadFile("../../fib/example_test.go")
	require.NoError(t, err)
	var body strings.Builder
	for line := range strings.Lines(snippet) {
		if line != "\n" {
			line = "\t" + line
		}
		body.WriteString(line)
	}
	assert.Contains(t, string(example), body.String(), "the README's Go is not the body of fib's Example")
	assert.Contains(t, readme(t), iproute.CaptureCommand, "the README shows another capture command")
}

// TestReadmeShowsWhatIPSays compares what the README has "ip route get" print with
// fibula's answer from the same state, since both say the same.
func TestReadmeShowsWhatIPSays(t *testing.T) {
	_, after, found := strings.Cut(readme(t), "$ ip route get ")
	require.True(t, found)
	_, state, found := strings.Cut(after, "--state ")
	require.True(t, found)
	state = strings.Fields(state)[0]
	words, said, _ := strings.Cut(after, "\n")
	said, _, _ = strings.Cut(said, "$ ")
	t.Chdir("../..")
	var both bytes.Buffer
	run(t.Context(), append([]string{"get", "--state", state}, strings.Fields(words)...), strings.NewReader(""), &both, &both)
	assert.Equal(t, said, both.String())
}
