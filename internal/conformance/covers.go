package conformance

import (
	"encoding/json"
	"os"
	"runtime"
	"strings"
	"testing"
)

// Note is one line of the file named by CONFORMANCE_OUT: a test proved a statement.
type Note struct {
	Number string `json:"number"`
	Test   string `json:"test"`   // package and name, as "fib.TestTables6/D13_metric"
	Kernel string `json:"kernel"` // release; empty: no kernel took part
}

const module = "github.com/fibula-net/fibula/"

// Covers says that t, which asks the running kernel, proves the statements with
// these numbers: when t has passed, one [Note] for each is written. A number that
// the reference does not have fails t. Call it in the test itself, not in a helper
// of another package; it is safe for parallel tests and for several processes.
func Covers(t testing.TB, numbers ...string) {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatalf("release of the kernel that was asked: %v", err)
	}
	release, _, _ := strings.Cut(strings.TrimSpace(string(b)), "-")
	cover(t, release, numbers)
}

// CoversEngine is [Covers] for a test that asks no kernel: it shows only that
// fibula does what the statement says.
func CoversEngine(t testing.TB, numbers ...string) {
	t.Helper()
	cover(t, "", numbers)
}

func cover(t testing.TB, kernel string, numbers []string) {
	t.Helper()
	for _, n := range numbers {
		if !known(n) {
			t.Fatalf("docs/kernel-semantics.md has no statement %q", n)
		}
	}
	name := callerPackage() + "." + t.Name()
	t.Cleanup(func() {
		if out := os.Getenv("CONFORMANCE_OUT"); out != "" && !t.Failed() && !t.Skipped() {
			for _, n := range numbers {
				if err := write(out, Note{Number: n, Test: name, Kernel: kernel}); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// callerPackage is the directory, below the module's, of the test that called
// Covers or CoversEngine.
func callerPackage() string {
	const covers = 3 // runtime.Callers, callerPackage and cover lie above
	pc := make([]uintptr, 1)
	runtime.Callers(covers+1, pc)
	f, _ := runtime.CallersFrames(pc).Next()
	slash := strings.LastIndexByte(f.Function, '/') + 1
	pkg, _, _ := strings.Cut(f.Function[slash:], ".")
	return strings.TrimPrefix(f.Function[:slash], module) + strings.TrimSuffix(pkg, "_test")
}

func write(file string, n Note) error {
	line, err := json.Marshal(n)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
