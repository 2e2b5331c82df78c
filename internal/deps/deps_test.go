package deps

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/fibula-net/fibula"

// below names, for each room, the rooms that it may import. A room may always
// import its own packages and internal ones; what those import is held to the
// importing room's limits, since the test follows imports to their end.
var below = map[string][]string{
	"lookup":  {},
	"rules":   {},
	"fib":     {"lookup", "rules"},
	"ksync":   {"fib", "lookup", "rules"},
	"iproute": {"fib", "lookup", "rules"},
	"bench":   {"ksync", "fib", "lookup", "rules"}, // asks kernels, too
	"cmd":     {"bench", "iproute", "ksync", "fib", "lookup", "rules"},
	"docs":    {},
}

// pure are the rooms that only compute.
var pure = []string{"lookup", "rules", "fib"}

// impure are packages that pure rooms, and internal packages that they use, must
// not import: systems, network, logging. (What fmt needs below it is not ours to
// choose.)
var impure = []string{"os", "net", "log", "syscall", "golang.org/x/sys"}

// excused are the exceptions: netip is pure, package errno meets the system's own
// numbers so that errors.Is works with them, and the compiled tables ask what the
// processor can do and for huge pages.
func excused(in, imp string) bool {
	return imp == "net/netip" || in == "internal/errno" && imp == "syscall" ||
		in == "lookup/flat" && within(imp, "golang.org/x/sys")
}

// clock are the parts of package time that read or wait for the clock.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// homes are the only places that may import a module from outside. Tests may
// import testify and rapid besides.
var homes = map[string][]string{
	"github.com/gaissmai/bart":          {"lookup/trie", "bench"},
	"github.com/gopacket/gopacket":      {"bench"},
	"github.com/cilium/ebpf":            {"bench"},
	"gonum.org/v1/plot":                 {"bench"},
	"github.com/k-sone/critbitgo":       {"bench"},
	"github.com/yl2chen/cidranger":      {"bench"},
	"golang.org/x/net":                  {"ksync"},
	"golang.org/x/sys":                  {"ksync", "internal", "lookup/flat", "bench"},
	"github.com/prometheus":             {"internal/daemon"},
	"golang.org/x/term":                 {"cmd"},
	"github.com/spf13":                  {"cmd"},
	"github.com/schollz/progressbar/v3": {"cmd"},
	"github.com/fatih/color":            {"cmd"},
	"go.yaml.in/yaml/v3":                {"iproute"},
	"github.com/stretchr/testify":       {"lookup/lookuptest"},
	"pgregory.net/rapid":                {"lookup/lookuptest"},
}

// pkg is what the test reads of "go list -deps -json".
type pkg struct {
	ImportPath, Dir   string
	GoFiles, CgoFiles []string
	Imports, Deps     []string // direct; all that they lead to
}

// list returns every package of the module and what it needs, as built for goos.
func list(t *testing.T, goos string) map[string]pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps",
		"-json=ImportPath,Dir,GoFiles,CgoFiles,Imports,Deps", module+"/...")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH=amd64", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s: %s", cmd, stderr.String())
	pkgs := map[string]pkg{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return pkgs
		} else {
			require.NoError(t, err)
		}
		pkgs[p.ImportPath] = p
	}
}

// place is a package's path inside the module, or ok is false.
func place(path string) (in string, ok bool) {
	return strings.CutPrefix(path, module+"/")
}

func room(in string) string { r, _, _ := strings.Cut(in, "/"); return r }

// within reports whether path is root or lies below it.
func within(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/")
}

// external reports whether path has a host name in front, as no package of the
// standard library has.
func external(path string) bool {
	host, _, _ := strings.Cut(path, "/")
	return strings.Contains(host, ".")
}

// testSupport packages, such as lookup/lookuptest, run inside tests only.
func testSupport(in string) bool { return strings.HasSuffix(in, "test") }

func TestImports(t *testing.T) {
	used := map[string]bool{} // modules, on any system
	for _, goos := range []string{"linux", "freebsd", "darwin", "windows"} {
		t.Run(goos, func(t *testing.T) {
			pkgs := list(t, goos)
			t.Run("PointOneWay", func(t *testing.T) { testOneWay(t, pkgs) })
			t.Run("PureRoomsOnlyCompute", func(t *testing.T) { testPure(t, pkgs) })
			t.Run("ModulesHaveOneHome", func(t *testing.T) { testHomes(t, pkgs, used) })
		})
	}
	for mod := range homes {
		assert.True(t, used[mod], "nothing imports %s: drop it here, in docs/dependencies.md and in go.mod", mod)
	}
}

func testOneWay(t *testing.T, pkgs map[string]pkg) {
	seen := map[string]bool{}
	for path, p := range pkgs {
		in, ours := place(path)
		if !ours || room(in) == "internal" {
			continue
		}
		r := room(in)
		seen[r] = true
		allowed, known := below[r]
		if !assert.True(t, known, "%s: room %q is not in the design", path, r) {
			continue
		}
		for _, dep := range p.Deps {
			in, ours := place(dep)
			if ours && room(in) != r && room(in) != "internal" {
				assert.Contains(t, allowed, room(in), "%s imports %s, perhaps through others", path, dep)
			}
		}
	}
	for r := range below {
		assert.True(t, seen[r], "no package in room %q: this test would pass on nothing", r)
	}
}

func testPure(t *testing.T, pkgs map[string]pkg) {
	check := map[string]bool{} // the pure rooms' packages and those of ours that they need
	for path, p := range pkgs {
		in, ours := place(path)
		if !ours || !slices.Contains(pure, room(in)) && in != "ksync/plan" || testSupport(in) {
			continue
		}
		check[path] = true
		for _, dep := range p.Deps {
			if _, ours := place(dep); ours {
				check[dep] = true
			} else if external(dep) {
				assert.True(t, within(dep, "github.com/gaissmai/bart") || within(dep, "golang.org/x/sys"), "%s needs %s", path, dep)
			}
		}
	}
	for path := range check {
		p := pkgs[path]
		in, _ := place(path)
		assert.Empty(t, p.CgoFiles, "%s uses cgo", path)
		for _, imp := range p.Imports {
			bad := slices.ContainsFunc(impure, func(root string) bool { return within(imp, root) })
			assert.False(t, bad && !excused(in, imp), "%s imports %s; such code belongs to ksync, internal or cmd", path, imp)
		}
		for _, f := range p.GoFiles {
			assertNoClock(t, filepath.Join(p.Dir, f))
		}
	}
}

func testHomes(t *testing.T, pkgs map[string]pkg, used map[string]bool) {
	for path, p := range pkgs {
		in, ours := place(path)
		if !ours {
			continue
		}
		for _, imp := range p.Imports {
			if external(imp) && !within(imp, module) {
				mod, ok := atHome(imp, in)
				assert.True(t, ok, "%s imports %s, which has its home elsewhere (docs/dependencies.md)", path, imp)
				used[mod] = true
			}
		}
	}
}

func assertNoClock(t *testing.T, file string) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" {
				assert.NotContains(t, clock, sel.Sel.Name, "%s reads the clock", fset.Position(n.Pos()))
			}
		}
		return true
	})
}

// atHome returns the module of imp, and whether the package in may import it.
func atHome(imp, in string) (mod string, ok bool) {
	for mod, places := range homes {
		if within(imp, mod) {
			return mod, slices.ContainsFunc(places, func(place string) bool { return within(in, place) })
		}
	}
	return "", false
}
