package peers

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/bench/streams"
	"github.com/fibula-net/fibula/bench/tables"
	"github.com/fibula-net/fibula/fib"
)

const fake = "FIBULA_TEST_DRIVER"

// TestMain is also the driver: it answers as dpdk/driver.c does, without DPDK.
func TestMain(m *testing.M) {
	switch os.Getenv(fake) {
	case "":
		os.Exit(m.Run())
	case "small": // there are no huge pages
		if !strings.Contains(strings.Join(os.Args, " "), "--no-huge") {
			fmt.Println("error rte_eal_init: no memory")
			os.Exit(1)
		}
		fmt.Println("EAL: some library speaks\nok 4K")
	case "broken":
		fmt.Fprintln(os.Stderr, "cannot work here")
		os.Exit(1)
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		words := strings.Fields(in.Text())
		switch {
		case words[0] == "table4":
			data, err := os.ReadFile(words[1])
			fmt.Println("ok", len(data)/24, 5_000_000, err)
		case words[0] == "stream":
			data, _ := os.ReadFile(words[3])
			h := streams.Seed
			for i := 0; i < len(data); i += 4 {
				h = streams.Sum(h, binary.NativeEndian.Uint32(data[i:]))
			}
			_ = os.WriteFile(filepath.Join(filepath.Dir(words[3]), "sum"), fmt.Appendf(nil, "%016x", h), 0o600)
			fmt.Printf("ok %d\n", len(data))
		case words[0] == "run" && words[1] == "rte_fib-2B-scalar":
			fmt.Println("ok 1234")
		default:
			fmt.Println("error no", words[1], "here")
		}
	}
}

func TestTheDriversLanguage(t *testing.T) {
	t.Setenv(fake, "small")
	self, err := os.Executable()
	require.NoError(t, err)
	p, err := Open(t.Context(), self, 0)
	require.NoError(t, err)
	assert.Equal(t, "4K", p.Pages)
	table := tables.Of("x", "", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24")})
	n, took, err := p.Load(&table, fib.Inet)
	require.NoError(t, err)
	assert.Equal(t, 2, n, "as the fake counts them")
	assert.EqualValues(t, 5_000_000, took)
	s, err := streams.Make(streams.Matching, fib.Inet, &table, 512, 1)
	require.NoError(t, err)
	require.NoError(t, p.Stream(s))
	sum, err := os.ReadFile(filepath.Join(p.dir, "sum"))
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprintf("%016x", s.Checksum()), string(sum))
	ns, err := p.Run("rte_fib-2B-scalar", s, 0, 512)
	require.NoError(t, err)
	assert.EqualValues(t, 1234, ns)
	_, err = p.Checksum("rte_fib-2B-avx512", s)
	require.ErrorContains(t, err, "no rte_fib-2B-avx512 here")
	dir := p.dir
	p.Close()
	assert.NoDirExists(t, dir)
}

func TestADriverThatCannotWorkSaysWhy(t *testing.T) {
	t.Setenv(fake, "broken")
	self, err := os.Executable()
	require.NoError(t, err)
	_, err = Open(t.Context(), self, 0)
	require.ErrorContains(t, err, "cannot work here")
	_, err = Open(t.Context(), filepath.Join(t.TempDir(), "none"), 0)
	require.Error(t, err)
}

func TestRoutesAreSixWords(t *testing.T) {
	table := tables.Of("x", "", []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/33")})
	path := filepath.Join(t.TempDir(), "routes")
	for f, want := range map[fib.Family][]uint32{
		fib.Inet:  {0x0a010000, 0, 0, 0, 16, tables.NextHop(table.V4[0])},
		fib.Inet6: {0x20010db8, 0, 0, 0, 33, tables.NextHop(table.V6[0])},
	} {
		require.NoError(t, writeRoutes(path, &table, f))
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Len(t, data, 24)
		for i, w := range want {
			assert.Equal(t, w, binary.NativeEndian.Uint32(data[4*i:]))
		}
	}
}
