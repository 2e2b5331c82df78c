package conformance_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/conformance"
)

const root = "../.."

// sources skips where a test binary runs without the module around it.
func sources(t *testing.T) {
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Skip("this test reads the module's sources, which are not here")
	}
}

func committed(t *testing.T) *conformance.Data {
	sources(t)
	if os.Getenv("CONFORMANCE_OUT") != "" {
		t.Skip("what is committed is about to be made anew")
	}
	d, err := conformance.ReadData(os.DirFS(filepath.Join(root, "docs/conformance")))
	require.NoError(t, err)
	return d
}

func TestEveryStatementIsProvedOrExcepted(t *testing.T) {
	d := committed(t)
	require.Greater(t, len(conformance.Statements()), 250)
	assert.Empty(t, d.Unproved(), "statements with neither a test in docs/conformance/*.json nor a line in exceptions.txt; run make conformance")
	for n := range d.Exceptions {
		for _, r := range d.Kernels {
			assert.Empty(t, r.Holds[n], "statement %s is proved: take it from exceptions.txt", n)
		}
	}
}

func TestPageIsRenderedFromTheData(t *testing.T) {
	want := conformance.Render(committed(t))
	page, err := os.ReadFile(filepath.Join(root, "docs/conformance.md"))
	require.NoError(t, err)
	assert.True(t, want == string(page), "docs/conformance.md is stale: run make conformance")
}

// TestNamedTestsExist looks for every test of the data in the sources: its
// function, and the name of its last subtest among the texts of its package, test
// data included.
func TestNamedTestsExist(t *testing.T) {
	packages := map[string]*testSources{}
	for _, name := range committed(t).Tests() {
		dir, test, ok := strings.Cut(name, ".Test")
		require.True(t, ok, "%q has no function", name)
		p := packages[dir]
		if p == nil {
			p = readSources(t, filepath.Join(root, dir))
			packages[dir] = p
		}
		function, sub, _ := strings.Cut("Test"+test, "/")
		if !assert.True(t, p.functions[function], "%s: there is no such test; run make conformance", name) || sub == "" {
			continue
		}
		last := sub[strings.LastIndexByte(sub, '/')+1:]
		assert.True(t, p.texts[last] || strings.Contains(p.data, `"name": "`+last+`"`), "%s: no case has this name; run make conformance", name)
	}
}

// testSources is what a package's tests are called.
type testSources struct {
	functions map[string]bool
	texts     map[string]bool // string literals, as a subtest's name shows them
	data      string          // lists of cases
}

func readSources(t *testing.T, dir string) *testSources {
	p := &testSources{functions: map[string]bool{}, texts: map[string]bool{}}
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	require.NoError(t, err)
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				p.functions[n.Name.Name] = true
			case *ast.BasicLit:
				if s, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil {
					p.texts[strings.ReplaceAll(s, " ", "_")] = true
				}
			}
			return true
		})
	}
	lists, err := filepath.Glob(filepath.Join(dir, "testdata/*.jsonl"))
	require.NoError(t, err)
	for _, file := range lists {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		p.data += string(b)
	}
	return p
}

func TestStatementsOfTheReference(t *testing.T) {
	seen := map[string]conformance.Statement{}
	for _, s := range conformance.Statements() {
		_, twice := seen[s.Number]
		assert.False(t, twice, "statement %s stands twice", s.Number)
		assert.NotEmpty(t, s.Summary(), s.Number)
		assert.NotEmpty(t, s.Section, s.Number)
		seen[s.Number] = s
	}
	for n, summary := range map[string]string{
		"0.5": "RTA_IP_PROTO accepts TCP(6), UDP(17), and ICMP(1) for IPv4, ICMPv6(58) …",
		"J2":  "default-router memory (B18)",
		"J15": "with an unknown seed also whether an IPv6 suppress_ifgroup rule fires …",
		"K1":  `i = 0; error "none" = ENETUNREACH`,
		"I3":  "FRA_DSCP",
		"D4a": "Every leg of an (embedded) IPv6 multipath route is a route of its own …",
	} {
		s := seen[n]
		assert.Equal(t, summary, s.Summary(), n)
	}
	for k := 1; k <= 30; k++ {
		assert.Contains(t, seen, "K"+strconv.Itoa(k))
	}
}

func TestCitations(t *testing.T) {
	for name, numbers := range map[string][]string{
		"rule-v4-ipproto-default-is-udp": {"0.2"},
		"mp4-hash-policy0-b":             {"B25"}, // {mp4-hash-policy0-a..c}
		"mp4-hash-policy3-anything":      {"B25"}, // {mp4-hash-policy3-*}
		"no-such-case":                   nil,
	} {
		assert.Equal(t, numbers, conformance.CitedBy(name), name)
	}
	assert.Contains(t, conformance.CitedBy("add6-validity"), "D56", "cited by the heading above")
	assert.Equal(t, []string{"L7", "L18"}, conformance.NumbersIn("falls through to main (L7, L18)"))
	assert.Equal(t, []string{"0.1"}, conformance.NumbersIn("0.1 oif is ignored on input"))
}

func TestPassedTestsAreNoted(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Covers reads the release of a Linux kernel")
	}
	out := filepath.Join(t.TempDir(), "out")
	t.Setenv("CONFORMANCE_OUT", out)
	t.Run("passes", func(t *testing.T) {
		conformance.Covers(t, "B10", "B14")
		_, err := os.Stat(out)
		assert.ErrorIs(t, err, fs.ErrNotExist, "noted before the test has passed")
	})
	t.Run("engine", func(t *testing.T) { conformance.CoversEngine(t, "0.1") })
	f, err := os.Open(out)
	require.NoError(t, err)
	defer f.Close()
	results := map[string]*conformance.Results{}
	require.NoError(t, conformance.Collect(results, f))
	require.Len(t, results, 2)
	here := "internal/conformance.TestPassedTestsAreNoted/"
	assert.Equal(t, map[string][]string{"0.1": {here + "engine"}}, results["engine"].Holds)
	delete(results, "engine")
	for _, r := range results {
		assert.Equal(t, map[string][]string{"B10": {here + "passes"}, "B14": {here + "passes"}}, r.Holds)
	}
}

// ended is a test that has failed or was skipped.
type ended struct {
	testing.TB
	failed, skipped bool
	said            string
	cleanups        []func()
}

func (e *ended) Helper()                   {}
func (e *ended) Name() string              { return "TestEnded" }
func (e *ended) Failed() bool              { return e.failed }
func (e *ended) Skipped() bool             { return e.skipped }
func (e *ended) Cleanup(fn func())         { e.cleanups = append(e.cleanups, fn) }
func (e *ended) Fatalf(s string, _ ...any) { e.said = s; runtime.Goexit() }

func TestOtherTestsProveNothing(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	t.Setenv("CONFORMANCE_OUT", out)
	for _, e := range []ended{{failed: true}, {skipped: true}} {
		conformance.CoversEngine(&e, "B10")
		for _, fn := range e.cleanups {
			fn()
		}
		assert.NoFileExists(t, out)
	}
}

func TestUnknownNumbersFail(t *testing.T) {
	var e ended
	done := make(chan struct{})
	go func() {
		defer close(done)
		conformance.CoversEngine(&e, "B999")
	}()
	<-done
	assert.Contains(t, e.said, "no statement")
}
