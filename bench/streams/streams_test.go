package streams

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/bench/tables"
	"github.com/fibula-net/fibula/fib"
)

const n = 1 << 15

func made(t testing.TB, name string, f fib.Family, table *tables.Table) *Stream {
	s, err := Make(name, f, table, n, 1)
	require.NoError(t, err)
	return s
}

var families = []fib.Family{fib.Inet, fib.Inet6}

func TestStreamsAreRepeatableAndDiffer(t *testing.T) {
	table := tables.Synthetic(2000, 1000, 1)
	seen := map[uint64]string{}
	for _, f := range families {
		for _, name := range Names {
			s := made(t, name, f, &table)
			require.Equal(t, n, s.Len())
			assert.Equal(t, s, made(t, name, f, &table))
			assert.Empty(t, seen[s.Checksum()], "%s %v", name, f)
			seen[s.Checksum()] = name
			other, err := Make(name, f, &table, n, 2)
			require.NoError(t, err)
			assert.NotEqual(t, s.Checksum(), other.Checksum(), "%s: the seed does not matter", name)
			assert.Equal(t, n/8, s.First(n/8+5).Len())
			assert.Equal(t, s.Addr(3), s.First(n/8).Addr(3))
		}
	}
	_, err := Make("nonsense", fib.Inet, &table, n, 1)
	require.ErrorContains(t, err, "nonsense")
	none := table.Only(fib.Inet6)
	_, err = Make(Matching, fib.Inet, &none, n, 1)
	require.ErrorContains(t, err, "no inet prefix")
}

func TestMatchingLiesInTheTable(t *testing.T) {
	table := tables.Of("x", "", []netip.Prefix{netip.MustParsePrefix("10.32.0.0/11"), netip.MustParsePrefix("192.0.2.7/32"),
		netip.MustParsePrefix("2001:db8::/61"), netip.MustParsePrefix("2001:db8:1::/67"), netip.MustParsePrefix("2001:db8:2::5/128"),
		netip.MustParsePrefix("2001:db8:3::/64")})
	for _, f := range families {
		hit := map[netip.Prefix]int{}
		s := made(t, Matching, f, &table)
		for i := range s.Len() {
			k := slices.IndexFunc(table.Family(f), func(p netip.Prefix) bool { return p.Contains(s.Addr(i)) })
			require.GreaterOrEqual(t, k, 0, "%v", s.Addr(i))
			hit[table.Family(f)[k]]++
		}
		for p, times := range hit {
			assert.InEpsilon(t, n/len(table.Family(f)), times, 0.1, "%v", p)
		}
	}
}

func TestUniformIsEven(t *testing.T) {
	table := tables.Synthetic(10, 10, 1)
	for _, f := range families {
		var count [8]int
		s := made(t, Uniform, f, &table)
		for i := range s.Len() {
			if f == fib.Inet6 {
				require.EqualValues(t, 1, s.V6[i][0]>>61, "outside 2000::/3")
				count[s.V6[i][0]>>58&7]++
			} else {
				count[s.V4[i]>>29]++
			}
		}
		for _, c := range count {
			assert.InEpsilon(t, n/8, c, 0.1)
		}
	}
}

func TestZipfIsSkewed(t *testing.T) {
	table := tables.Synthetic(200_000, 0, 1)
	count := map[uint32]int{}
	for _, a := range made(t, Zipf, fib.Inet, &table).V4 {
		count[a]++
	}
	var often []int
	for _, c := range count {
		often = append(often, c)
	}
	slices.SortFunc(often, func(a, b int) int { return b - a })
	// The sum of 1/k^1.1 over 65,536 flows is 7.28.
	assert.InEpsilon(t, n/7.28, often[0], 0.1, "the most frequent flow")
	assert.InEpsilon(t, n/7.28/12.6, often[9], 0.25, "the tenth")
	assert.Greater(t, len(count), n/6, "flows met")
}

func TestSingleIsOne(t *testing.T) {
	table := tables.Synthetic(100, 100, 1)
	s := made(t, Single, fib.Inet6, &table)
	assert.Len(t, slices.Compact(slices.Clone(s.V6)), 1)
}

func TestFileHoldsTheWords(t *testing.T) {
	table := tables.Synthetic(100, 100, 1)
	for _, f := range families {
		s := made(t, Matching, f, &table)
		path := filepath.Join(t.TempDir(), "s")
		require.NoError(t, s.WriteFile(path))
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Len(t, data, n*map[fib.Family]int{fib.Inet: 4, fib.Inet6: 16}[f])
		h := Seed
		for i := 0; i < len(data); i += 4 {
			h = Sum(h, uint32(data[i])|uint32(data[i+1])<<8|uint32(data[i+2])<<16|uint32(data[i+3])<<24)
		}
		if [2]byte{1, 0} == [2]byte{byte(uint16(1)), 0} { // little-endian machines, all that we have
			assert.Equal(t, s.Checksum(), h)
		}
	}
}

// capture makes a file with packets to the given addresses, and one that is no IP.
func capture(t testing.TB, ng bool, to ...string) []byte {
	var b bytes.Buffer
	var write func([]byte)
	info := func(data []byte) gopacket.CaptureInfo {
		return gopacket.CaptureInfo{Timestamp: time.Unix(1, 0), CaptureLength: len(data), Length: len(data)}
	}
	if ng {
		w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
		require.NoError(t, err)
		write = func(data []byte) { require.NoError(t, w.WritePacket(info(data), data)); require.NoError(t, w.Flush()) }
	} else {
		w := pcapgo.NewWriter(&b)
		require.NoError(t, w.WriteFileHeader(1500, layers.LinkTypeEthernet))
		write = func(data []byte) { require.NoError(t, w.WritePacket(info(data), data)) }
	}
	for _, dst := range to {
		eth := &layers.Ethernet{SrcMAC: make(net.HardwareAddr, 6), DstMAC: make(net.HardwareAddr, 6), EthernetType: layers.EthernetTypeIPv4}
		var ip gopacket.SerializableLayer = &layers.IPv4{Version: 4, IHL: 5, TTL: 1, SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.ParseIP(dst).To4()}
		if net.ParseIP(dst).To4() == nil {
			eth.EthernetType = layers.EthernetTypeIPv6
			ip = &layers.IPv6{Version: 6, SrcIP: net.ParseIP("::1"), DstIP: net.ParseIP(dst)}
		}
		buf := gopacket.NewSerializeBuffer()
		require.NoError(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{}, eth, ip))
		write(buf.Bytes())
	}
	write([]byte("no packet of any kind"))
	return b.Bytes()
}

func TestPcap(t *testing.T) {
	for _, ng := range []bool{false, true} {
		file := capture(t, ng, "192.0.2.1", "2001:db8::7", "198.51.100.9")
		s, err := FromPcap(bytes.NewReader(file), fib.Inet, 5)
		require.NoError(t, err)
		assert.Equal(t, []uint32{0xc0000201, 0xc6336409, 0xc0000201, 0xc6336409, 0xc0000201, 0xc6336409, 0xc0000201, 0xc6336409}, s.V4)
		s, err = FromPcap(bytes.NewReader(file), fib.Inet6, 1)
		require.NoError(t, err)
		assert.Equal(t, netip.MustParseAddr("2001:db8::7"), s.Addr(0))
		_, err = FromPcap(bytes.NewReader(capture(t, ng, "192.0.2.1")), fib.Inet6, 1)
		require.ErrorContains(t, err, "no inet6 packet")
	}
	_, err := FromPcap(bytes.NewReader([]byte("no capture at all, but long enough to look")), fib.Inet, 1)
	require.Error(t, err)
}

func FuzzPcap(f *testing.F) {
	f.Add(capture(f, false, "192.0.2.1"))
	f.Add(capture(f, true, "192.0.2.1", "2001:db8::1"))
	f.Fuzz(func(t *testing.T, file []byte) {
		s, err := FromPcap(bytes.NewReader(file), fib.Inet, 16)
		if err == nil {
			require.Equal(t, 16, s.Len())
		}
	})
}
