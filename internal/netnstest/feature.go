package netnstest

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/procnet"
)

// Feature is something that only some kernels have. What can be tried out is,
// since distributions carry features back; the rest goes by the kernel's version.
type Feature struct {
	what  string
	probe func(*NS) bool
}

// String says what the feature is, and since when kernels have it.
func (f Feature) String() string { return f.what }

// Features that tests ask for.
var (
	// VRF: links of type vrf can be made. A kernel may be built without.
	VRF = Feature{"VRF links", func(ns *NS) bool {
		_, _, code := ns.TryIP("link add probe type vrf table 7")
		return code == 0
	}}
	// HashSeed: the hash of multipath routes can be predicted.
	HashSeed = Feature{"sysctl net.ipv4.fib_multipath_hash_seed (Linux 6.11)", func(ns *NS) bool {
		_, err := ns.ReadSysctl("net.ipv4.fib_multipath_hash_seed")
		return !errors.Is(err, fs.ErrNotExist)
	}}
	// FilterRoom: how much room a socket's filters may take can be set in a namespace of one's own.
	FilterRoom = Feature{"sysctl net.core.optmem_max in each namespace (Linux 6.8)", func(ns *NS) bool {
		_, err := ns.ReadSysctl("net.core.optmem_max")
		return !errors.Is(err, fs.ErrNotExist)
	}}
	// RuleSelectors: rules have every selector that iproute2 and fibula know.
	RuleSelectors = Feature{"rules with dscp (Linux 6.12), flow labels (6.14), dscp and port masks (6.15)", func(ns *NS) bool {
		return Kernel(ns.t).AtLeast(6, 15)
	}}
)

// Kernel is the version of the running kernel.
func Kernel(t testing.TB) fib.KernelVersion {
	t.Helper()
	Require(t)
	var words string
	for _, file := range []string{"osrelease", "version"} {
		b, err := os.ReadFile("/proc/sys/kernel/" + file)
		if err != nil {
			t.Fatal(err)
		}
		words += strings.TrimSpace(string(b)) + " "
	}
	v, err := procnet.ParseRelease(words)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// probed remembers what the running kernel has.
var probed struct {
	sync.Mutex
	has map[string]bool
}

// Has reports whether the running kernel has f. Where it has not, t's output says
// so: it then tests less. Like [New] it skips or fails t where no kernel can be
// asked.
func Has(t testing.TB, f Feature) bool {
	t.Helper()
	has := has(t, f)
	if !has {
		t.Logf("this kernel lacks %s", f)
	}
	return has
}

func has(t testing.TB, f Feature) bool {
	t.Helper()
	probed.Lock()
	defer probed.Unlock()
	has, known := probed.has[f.what]
	if !known {
		has = f.probe(New(t))
		if probed.has == nil {
			probed.has = map[string]bool{}
		}
		probed.has[f.what] = has
	}
	return has
}

// Need skips t where the running kernel lacks f, under CI=true too: no set-up of
// the machine would help. "make test-kernels" runs the tests on a kernel that has
// what others lack.
func Need(t testing.TB, f Feature) {
	t.Helper()
	if !has(t, f) {
		t.Skipf("this kernel lacks %s", f)
	}
}
