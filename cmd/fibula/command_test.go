package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/iproute"
)

const routerState = "testdata/router.json"

// result is what one run printed and its exit code.
type result struct {
	stdout, stderr string
	code           int
}

func fibula(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return result{out.String(), errs.String(), code}
}

func TestFlagsStandAnywhere(t *testing.T) {
	want := fibula(t, "", "-4", "-j", "--state", routerState, "get", "192.0.2.1", "mark", "0x10000")
	require.Zero(t, want.code, want.stderr)
	for _, line := range []string{
		"get 192.0.2.1 -j mark --state " + routerState + " 0x10000 -4",
		"get -4j --state=" + routerState + " 192.0.2.1 mark 0x10000",
		"--state " + routerState + " get 192.0.2.1 mark 0x10000 --json --ipv4",
		"--engine hashzone --state " + routerState + " get 192.0.2.1 mark 0x10000 --json",
	} {
		assert.Equal(t, want, fibula(t, "", strings.Fields(line)...), line)
	}
}

func TestWrongCommandLinesExit255AndSayHow(t *testing.T) {
	for line, says := range map[string]string{
		"nonsense":                       `unknown command "nonsense"`,
		"gte 192.0.2.1":                  `did you mean "fibula get"?`,
		"192.0.2.1":                      `did you mean "fibula get 192.0.2.1"?`,
		"state sav":                      `did you mean "fibula state save"?`,
		"get --nonsense 192.0.2.1":       "unknown flag: --nonsense",
		"get -4 -6 192.0.2.1":            "--ipv4 and --ipv6 exclude each other",
		"get -n a --pid 1 192.0.2.1":     "--netns and --pid exclude each other",
		"get --batch - --state -":        "standard input can be one of them",
		"get --engine btree 192.0.2.1":   "flat or trie or hashzone",
		"get --color blue 192.0.2.1":     "auto, always or never",
		"get --batch - 192.0.2.1":        "exclude each other",
		"get --pid -1 192.0.2.1":         "positive",
		"get --pid x 192.0.2.1":          "expected a whole number",
		"demo --seed -1":                 "expected a whole number from 0",
		"version more":                   "unknown command",
		"state save a b":                 "accepts at most 1",
		"get 192.0.2.1 mark zz":          `"zz"`,
		"-j get 192.0.2.1 tos nonsense":  `"nonsense"`,
		"explain 192.0.2.1 ipproto none": `"none"`,
	} {
		r := fibula(t, "", append(strings.Fields(line), "--state", routerState)...)
		if strings.Contains(line, "--state") || strings.Contains(line, "--pid") || strings.Contains(line, "-n a") {
			r = fibula(t, "", strings.Fields(line)...)
		}
		assert.Equal(t, 255, r.code, line)
		assert.Contains(t, r.stderr, says, line)
	}
}

func TestMissingSourcesExit1AndNameThem(t *testing.T) {
	for _, verb := range []string{"get 192.0.2.1", "explain 192.0.2.1", "state show", "state save", "demo"} {
		r := fibula(t, "", append(strings.Fields(verb), "--state", "no/such/file")...)
		assert.Equal(t, 1, r.code, verb)
		assert.Contains(t, r.stderr, "no/such/file", verb)
	}
}

func TestJSONIsJSON(t *testing.T) {
	for line, code := range map[string]int{
		"version": 0, "state show": 0, "state capture": 0, "state save": 0,
		"get 192.0.2.1": 0, "get fibmatch 192.0.2.1": 0, "get 172.16.0.1": 2, "get 2001:db8:ffff::1": 2,
		"explain 192.0.2.1": 0, "explain 10.1.2.3": 2, "explain 2001:db8:30::1": 0,
		"get": 1, "get nonsense": 1, "get 192.0.2.1 oif nonsense": 1, "get 192.0.2.1 mark nonsense": 255,
		"explain 192.0.2.1 vrf wan0": 255, "demo --flows 50 --measure 1ms": 0,
	} {
		for _, pretty := range []string{"-j", "-jp"} {
			r := fibula(t, "", append(strings.Fields(line), pretty, "--state", routerState)...)
			assert.Equal(t, code, r.code, "%s: %s", line, r.stderr)
			assert.True(t, json.Valid([]byte(r.stdout)), "%s: %q", line, r.stdout)
			if code != 0 {
				assert.Contains(t, r.stdout, `"error"`, line)
				assert.Contains(t, r.stdout, `"message"`, line)
			}
		}
	}
}

func TestPrettyIsTheSameJSON(t *testing.T) {
	for _, line := range []string{"get 192.0.2.1", "get 172.16.0.1", "explain 192.0.2.1", "state show"} {
		words := append(strings.Fields(line), "--state", routerState, "-j")
		plain, pretty := fibula(t, "", words...), fibula(t, "", append(words, "-p")...)
		assert.JSONEq(t, plain.stdout, pretty.stdout, line)
		assert.Greater(t, strings.Count(pretty.stdout, "\n"), 3, line)
	}
}

func TestEveryCommandIsExplained(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		assert.NotEmpty(t, c.Short, c.CommandPath())
		if c.Name() != "help" {
			assert.NotEmpty(t, c.Example, "%s has no example", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			assert.True(t, strings.HasPrefix(line, "  fibula "), "%s: example %q", c.CommandPath(), line)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&app{}).command())
}

// TestExamplesOfHelpAreUnderstood runs the command lines of the help, but for what
// they would read and write.
func TestExamplesOfHelpAreUnderstood(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			command, _, _ := strings.Cut(strings.TrimSpace(line), "|")
			command, _, _ = strings.Cut(command, ">")
			a := &app{out: io.Discard, errs: io.Discard}
			root := a.command()
			found, rest, err := root.Find(strings.Fields(command)[1:])
			require.NoError(t, err, line)
			require.NoError(t, found.ParseFlags(rest), line)
			require.NoError(t, found.ValidateArgs(found.Flags().Args()), line)
			require.NoError(t, found.ValidateFlagGroups(), line)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&app{}).command())
}

func TestGendocsRepeats(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for _, dir := range []string{first, second} {
		r := fibula(t, "", "gendocs", dir)
		require.Zero(t, r.code, r.stderr)
	}
	files := 0
	require.NoError(t, filepath.WalkDir(first, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		files++
		rel, err := filepath.Rel(first, path)
		require.NoError(t, err)
		a, err := os.ReadFile(path)
		require.NoError(t, err)
		b, err := os.ReadFile(filepath.Join(second, rel))
		require.NoError(t, err)
		assert.Equal(t, string(a), string(b), rel)
		assert.NotContains(t, string(a), first, rel)
		return nil
	}))
	assert.Greater(t, files, 8)
}

// brokenPipe takes some bytes and then fails.
type brokenPipe struct{ left int }

var errPipe = errors.New("the reader has gone")

func (p *brokenPipe) Write(b []byte) (int, error) {
	if p.left -= len(b); p.left < 0 {
		return 0, errPipe
	}
	return len(b), nil
}

func TestReaderThatGoesAwayEndsTheCommand(t *testing.T) {
	queries := strings.Repeat("192.0.2.1\n", 50_000)
	for _, line := range []string{"get 192.0.2.1", "-j get 172.16.0.1", "explain 192.0.2.1", "get --batch -", "state show", "state save", "version -j"} {
		var errs bytes.Buffer
		code := run(t.Context(), append(strings.Fields(line), "--state", routerState), strings.NewReader(queries), &brokenPipe{}, &errs)
		assert.Equal(t, 1, code, line)
		assert.Contains(t, errs.String(), errPipe.Error(), line)
	}
}

func TestStateSurvivesSaving(t *testing.T) {
	dir := t.TempDir()
	want, err := os.ReadFile(routerState)
	require.NoError(t, err)
	plain, zipped := filepath.Join(dir, "a.json"), filepath.Join(dir, "a.json.gz")
	for _, args := range [][]string{{plain}, {zipped}, {"--gzip", filepath.Join(dir, "b")}} {
		r := fibula(t, "", append([]string{"state", "save", "--state", routerState}, args...)...)
		require.Zero(t, r.code, r.stderr)
	}
	got, err := os.ReadFile(plain)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got))
	packed, err := os.ReadFile(zipped)
	require.NoError(t, err)
	assert.Equal(t, "\x1f\x8b", string(packed[:2]))
	for _, file := range []string{plain, zipped, filepath.Join(dir, "b")} {
		assert.Equal(t, fibula(t, "", "state", "show", routerState), fibula(t, "", "state", "show", file))
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	assert.Len(t, left, 3, "temporary files are left")

	r := fibula(t, "", "state", "save", "--state", routerState, filepath.Join(dir, "no", "such", "dir"))
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "state save: create "+filepath.Join(dir, "no", "such", "dir")+":")
}

func TestVersionIsAlsoAnOption(t *testing.T) {
	want := fibula(t, "", "version")
	require.Zero(t, want.code)
	for _, flag := range []string{"--version", "-V"} {
		assert.Equal(t, want, fibula(t, "", flag))
	}
}

// TestManualPageHasTheCaptureLineAsItIs: what people copy must work.
func TestManualPageHasTheCaptureLineAsItIs(t *testing.T) {
	dir := t.TempDir()
	require.Zero(t, fibula(t, "", "gendocs", dir).code)
	page, err := os.ReadFile(filepath.Join(dir, "man", "fibula-state-capture.1"))
	require.NoError(t, err)
	typeset := strings.NewReplacer(`\\\\`, `\`, `\-`, "-", `\&`, "").Replace(string(page))
	assert.Contains(t, typeset, "\n"+iproute.CaptureCommand+"\n")
}

// TestUncertainAnswersSaySo: the state has a multipath route and no seed.
func TestUncertainAnswersSaySo(t *testing.T) {
	state, err := os.ReadFile(routerState)
	require.NoError(t, err)
	const setting = `"net.ipv4.fib_multipath_hash_seed":`
	before, after, found := strings.Cut(string(state), setting)
	require.True(t, found)
	_, after, _ = strings.Cut(after, ",")
	file := filepath.Join(t.TempDir(), "unseeded.json")
	require.NoError(t, os.WriteFile(file, []byte(before+setting+"0,"+after), 0o644))

	sure := fibula(t, "", "get", "192.0.2.1", "--state", routerState)
	unsure := fibula(t, "", "get", "192.0.2.1", "--state", file)
	assert.Zero(t, sure.code)
	assert.Zero(t, unsure.code)
	assert.NotContains(t, sure.stderr, "not certain")
	assert.Contains(t, unsure.stderr, "not certain")
	batch := fibula(t, "192.0.2.1\n192.0.2.1\n127.0.0.1\n", "get", "-b", "-", "--state", file)
	assert.Contains(t, batch.stderr, "show: 2;")
	assert.Empty(t, fibula(t, "", "get", "-j", "192.0.2.1", "--state", file).stderr, "the object says so")
}

func TestCompletionKnowsLinksAndValues(t *testing.T) {
	for words, want := range map[string]string{"oif": "wan0\n", "iif": "lan0\n", "ipproto": "udp\n", "vrf": ":4\n", "mark": ":4\n", "192.0.2.1": "fibmatch\n"} {
		r := fibula(t, "", "--state", routerState, "__complete", "get", words, "")
		assert.Contains(t, r.stdout, want, words)
		assert.Equal(t, words == "oif" || words == "iif", strings.Contains(r.stdout, "wan1\n"), words)
	}
}

func TestColour(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	plain := fibula(t, "", "explain", "192.0.2.1", "--state", routerState)
	assert.NotContains(t, plain.stdout, "\x1b", "not a terminal")
	always := fibula(t, "", "explain", "192.0.2.1", "--state", routerState, "--color", "always")
	assert.Contains(t, always.stdout, "\x1b[32m")
	assert.Equal(t, plain, fibula(t, "", "explain", "192.0.2.1", "--state", routerState, "--color", "never"))
}
