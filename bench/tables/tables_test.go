package tables

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
)

// record makes an MRT record, its paths being some bytes that nobody reads.
func record(kind, sub uint16, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, 1_700_000_000)
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, sub)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	return append(b, body...)
}

func rib(p string, paths int) []byte {
	pfx := netip.MustParsePrefix(p)
	b := append([]byte{0, 0, 0, 7, byte(pfx.Bits())}, pfx.Addr().AsSlice()[:(pfx.Bits()+7)/8]...)
	b = binary.BigEndian.AppendUint16(b, uint16(paths))
	return append(b, bytes.Repeat([]byte{0xff}, paths*20)...)
}

func dump() []byte {
	return slices.Concat(
		record(13, 1, []byte("peers")),
		record(13, 2, rib("0.0.0.0/0", 1)),
		record(13, 2, rib("192.0.2.0/24", 40)),
		record(13, 2, rib("10.32.0.0/11", 0)),
		record(13, 3, rib("224.0.0.0/4", 1)), // multicast
		record(16, 4, []byte("an update")),
		record(13, 4, rib("2001:db8::/33", 2)),
		record(13, 10, rib("2001:db8::1/128", 2)),
		record(13, 8, rib("198.51.100.7/32", 1)),
	)
}

func TestReadMRT(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(dump())
	require.NoError(t, err)
	require.NoError(t, z.Close())
	for name, in := range map[string][]byte{"plain": dump(), "gzip": packed.Bytes()} {
		all, kind, err := Read(bytes.NewReader(in))
		require.NoError(t, err, name)
		assert.Equal(t, "MRT dump", kind)
		got := Of("x", "", all)
		assert.Equal(t, prefixes("0.0.0.0/0 10.32.0.0/11 192.0.2.0/24 198.51.100.7/32"), got.V4, name)
		assert.Equal(t, prefixes("2001:db8::/33 2001:db8::1/128"), got.V6, name)
	}
}

// bzipped is "192.0.2.0/24\n2001:db8::/32\n" as bzip2 packs it; Go cannot.
const bzipped = "425a6839314159265359d97eed9c000005d90000100001fc70140020003100d000d4d3d4f519a4cbd0106812a25ae48edbabdfce0bb9229c28486cbf76ce00"

func TestOpenTellsFilesByWhatTheyHold(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return path
	}
	b, err := hex.DecodeString(bzipped)
	require.NoError(t, err)
	if got, err := Open(write("list.bz2", b)); assert.NoError(t, err) {
		assert.Equal(t, 2, got.Len())
	}
	got, err := Open(write("list", []byte("# a comment\n10.1.2.3/8 AS1\n\n10.0.0.0/8\n192.0.2.1\n2001:db8::1/32 # ours\n")))
	require.NoError(t, err)
	assert.Equal(t, prefixes("10.0.0.0/8 192.0.2.1/32"), got.V4)
	assert.Equal(t, prefixes("2001:db8::/32"), got.V6)
	assert.Equal(t, "list", got.Name)
	for name, c := range map[string][2]string{
		"word":  {"10.0.0.0/8\nnonsense\n", "line 2"},
		"bits":  {"10.0.0.0/33\n", "line 1"},
		"empty": {"# nothing\n", "no prefix"},
		"gz":    {"\x1f\x8bnonsense", "gzip"},
		"bz2":   {"BZhnonsense", "bzip2"},
	} {
		_, err := Open(write(name, []byte(c[0])))
		assert.ErrorContains(t, err, c[1], name)
	}
}

func TestReadMRTRefusesWhatIsCutOrWrong(t *testing.T) {
	whole := dump()
	borders := map[int]bool{}
	for at := 0; at < len(whole); at += mrtHeader + int(binary.BigEndian.Uint32(whole[at+8:])) {
		borders[at] = true
	}
	for n := mrtHeader; n < len(whole); n++ {
		_, _, err := Read(bytes.NewReader(whole[:n]))
		if borders[n] {
			assert.NoError(t, err, "%d bytes", n)
		} else {
			assert.ErrorIs(t, err, io.ErrUnexpectedEOF, "%d bytes", n)
		}
	}
	for name, bad := range map[string][]byte{
		"33 bits":     record(13, 2, []byte{0, 0, 0, 0, 33, 1, 2, 3, 4, 5}),
		"129 bits":    record(13, 4, append([]byte{0, 0, 0, 0, 129}, make([]byte, 20)...)),
		"few bytes":   record(13, 2, []byte{0, 0, 0, 0, 24, 1, 2}),
		"no bytes":    record(13, 2, nil),
		"huge record": append(record(13, 2, nil)[:8], 0xff, 0xff, 0xff, 0xff),
	} {
		_, _, err := Read(bytes.NewReader(bad))
		assert.ErrorContains(t, err, "record 1", name)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(dump())
	f.Add([]byte("10.0.0.0/8\n2001:db8::/32"))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, in []byte) {
		all, _, err := Read(bytes.NewReader(in))
		if err != nil {
			return
		}
		got := Of("x", "", all)
		for p := range got.All() {
			require.Equal(t, p.Masked(), p)
		}
	})
}

func prefixes(words string) (all []netip.Prefix) {
	for _, w := range strings.Fields(words) {
		all = append(all, netip.MustParsePrefix(w))
	}
	return all
}

func TestNextHopsAreEven(t *testing.T) {
	table := Synthetic(20_000, 5_000, 1)
	var count [NextHops]int
	for _, i := range table.All() {
		count[i]++
	}
	for i, n := range count {
		assert.InDelta(t, 25_000/NextHops, n, 120, "next hop %d", i)
	}
}

func TestSamplesAndFamilies(t *testing.T) {
	table := Synthetic(9_000, 1_000, 1)
	assert.Equal(t, table.Checksum(), func() uint64 { x := Synthetic(9_000, 1_000, 1); return x.Checksum() }())
	some := table.Sample(100)
	assert.Len(t, some.V4, 90)
	assert.Len(t, some.V6, 10)
	assert.NotEqual(t, table.Checksum(), some.Checksum())
	assert.Equal(t, 1_000, func() int { x := table.Only(fib.Inet6); return x.Len() }())
	assert.Equal(t, table, table.Sample(1<<30))
}
