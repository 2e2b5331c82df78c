package iproute

import (
	"bytes"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

func encode(t require.TestingT, st *fib.State, opts StateOptions) []byte {
	var b bytes.Buffer
	require.NoError(t, WriteState(&b, st, opts))
	return b.Bytes()
}

func TestStateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := drawState(t)
		file := encode(t, st, StateOptions{Gzip: rapid.Bool().Draw(t, "gzip")})
		got, warnings, err := ReadState(bytes.NewReader(file))
		require.NoError(t, err, "%s", file)
		assert.Empty(t, warnings)
		require.Equal(t, st, got, "%s", file)
	})
}

func TestStateBytesDependOnlyOnTheState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := drawState(t)
		first := encode(t, st, StateOptions{})
		again, _, err := ReadState(bytes.NewReader(first))
		require.NoError(t, err)
		require.Equal(t, string(first), string(encode(t, again, StateOptions{})))
		z := encode(t, st, StateOptions{Gzip: true})
		require.Equal(t, z, encode(t, again, StateOptions{Gzip: true}))
	})
}

// A small state as a person sees it: the format is a promise.
func TestStateFileGolden(t *testing.T) {
	want, err := os.ReadFile("testdata/small.state.json")
	require.NoError(t, err)
	st, warnings, err := ReadState(bytes.NewReader(want))
	require.NoError(t, err)
	assert.Empty(t, warnings)
	assert.Equal(t, string(want), string(encode(t, st, StateOptions{})))

	require.Len(t, st.Links, 2)
	assert.Equal(t, fib.KernelVersion{Major: 6, Minor: 18, Patch: 44}, st.Kernel)
	assert.Equal(t, fib.ModeRules, st.Mode4)
	assert.Equal(t, uint8(2), st.Links[1].Conf4.RPFilter)
	assert.True(t, st.Links[1].Conf4.SendRedirects, "not named: as net.ipv4.conf.default has it")
	assert.Equal(t, rules.Some(0), st.Rules[1].SuppressPrefixLength)
	assert.Equal(t, uint32(0x8000), st.Rules[1].MarkMask)
	assert.Equal(t, []fib.Nexthop{{Link: 2, Gateway: netip.MustParseAddr("2001:db8::1"), Weight: 1, Flags: fib.FlagOnlink}},
		st.Routes[1].Nexthops)
	assert.Equal(t, fib.DefaultAddrLabels(), st.AddrLabels)
}

func TestStateErrorsSayWhereAndHow(t *testing.T) {
	const head = `{"format":"fibula-state","version":1,` + "\n"
	const links = `"links":[{"ifindex":1,"ifname":"lo"}],` + "\n"
	for _, c := range []struct{ in, want string }{
		{``, `state:1:1: expected an object, found the end of the file`},
		{`[]`, `expected an object, found an array`},
		{`{"version":1}`, `not a state file: it should start with`},
		{`{"format":"other"}`, `format "other": expected "fibula-state"`},
		{`{"format":"fibula-state","version":2}`, `version 2 of the state file is newer than this fibula knows (1); upgrade`},
		{`{"format":"fibula-state"}`, `"format" or "version" is missing`},
		{head + `"hosts":[]}`, `state:2:9: state: unknown key "hosts"`},
		{head + `"rules":[],"rules":[]}`, `"rules" appears twice in an object`},
		{head + `"rules":[` + "\n" + `{"family":"inet","priority":5,"src":"all","fwmarc":"0x1"}]}`, `state:3:52: rule: unknown key "fwmarc"`},
		{head + `"rules":[{"family":"inet","priority":5}]}`, `rule 5: has neither table, l3mdev, goto, nop nor action`},
		{head + `"rules":[{"priority":5,"table":"7"}]}`, `"family" is missing; expected inet or inet6`},
		{head + `"rules":[{"family":"inet","src":"2001:db8::","srclen":32,"table":"7"}]}`, `src 2001:db8:: is not of family inet`},
		{head + `"rules":[{"family":"inet","src":"10.0.0.0","srclen":33,"table":"7"}]}`, `srclen 33 is longer than an address`},
		{head + `"rules":[{"family":"inet","table":"vpn"}]}`, `table "vpn" is neither a known name nor a number`},
		{head + `"rules":[{"family":"inet","table":-1}]}`, `table`},
		{head + `"rules":[{"family":"inet","priority":4294967296}]}`, `"4294967296": expected a whole number from 0 to 4294967295`},
		{head + `"routes":[{"dst":"default"}]}`, `dst "default" tells no family; write 0.0.0.0/0 or ::/0`},
		{head + `"routes":[{"dst":"10.0.0.1/8"}]}`, `bits are set beyond the prefix length; write 10.0.0.0/8`},
		{head + `"routes":[{"dst":"10.0.0.0/8","dev":"eth0"}]}`, `dev "eth0": no such link; "links" must name it`},
		{head + links + `"routes":[{"dst":"10.0.0.0/8","dev":"lo","nexthops":[{"dev":"lo"}]}]}`, `has "nexthops" and a gateway or dev beside it`},
		{head + `"routes":[{"dst":"10.0.0.0/8","gateway":"fe80::1%eth0"}]}`, `gateway "fe80::1%eth0": not an IP address`},
		{head + links + `"sysctls":{}}`, `"sysctls" should come before "links"`},
		{head + `"sysctls":{"net.ipv4.conf.all.rp_filter":999}}`, `sysctl net.ipv4.conf.all.rp_filter: 999 is out of range`},
		{head + `"sysctls":{"net.ipv4.tcp_ecn":2}}`, `unknown key "net.ipv4.tcp_ecn"`},
		{head + `"links":[{"ifindex":2,"ifname":"p","master":"br0"}]}`, `link "p": its master "br0": no such link`},
		{head + `"mode4":"half"}`, `mode "half": expected merged, rules or unknown`},
		{head + `"kernel":"six"}`, `kernel "six": expected a release such as 6.18.44`},
		{head + `"rules":[,]}`, `expected an object, found ','`},
		{head + `"rules":[],}`, `nothing after ','`},
		{head + `"rules":[]} x`, `expected the end of the file, found 'x'`},
		{head + `"rules":[`, `found the end of the file`},
		{head + `"kernel":"6` + "\n" + `"}`, `control character`},
		{head + `"kernel":"\q"}`, `unknown escape \q`},
		{head + `"kernel":"\ud800"}`, `half a surrogate pair`},
		{head + `"kernel":"` + strings.Repeat("6", 2<<20) + `"}`, `longer than`},
		{strings.Repeat("[", 100), `expected an object`},
		{"\x1f\x8b\x08", `starts like a gzip file, but`},
	} {
		st, _, err := ReadState(strings.NewReader(c.in))
		if assert.Error(t, err, "%.200s", c.in) {
			assert.Contains(t, err.Error(), c.want, "%.200s", c.in)
			assert.Less(t, len(err.Error()), 2000)
		}
		assert.Nil(t, st)
	}
}

func FuzzReadState(f *testing.F) {
	small, err := os.ReadFile("testdata/small.state.json")
	require.NoError(f, err)
	f.Add(small)
	f.Add([]byte(`{"format":"fibula-state","version":1,"routes":[{"dst":"::/0","encap":{"type":"mpls","data":"00"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		st, _, err := ReadState(bytes.NewReader(data))
		if err != nil {
			return
		}
		first := encode(t, st, StateOptions{})
		again, _, err := ReadState(bytes.NewReader(first))
		require.NoError(t, err, "%s", first)
		require.Equal(t, string(first), string(encode(t, again, StateOptions{})))
	})
}

// Reading in pieces of any size gives the same: tokens may straddle reads.
func TestReadStateInPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := drawState(t)
		file := encode(t, st, StateOptions{})
		r := &pieces{data: file, sizes: rapid.SliceOfN(rapid.IntRange(1, 50), 1, 20).Draw(t, "sizes")}
		got, _, err := ReadState(r)
		require.NoError(t, err)
		require.Equal(t, st, got)
	})
}

// pieces is a reader that returns a few bytes at a time.
type pieces struct {
	data  []byte
	sizes []int
	n     int
}

func (p *pieces) Read(b []byte) (int, error) {
	n := copy(b, p.data[:min(len(p.data), p.sizes[p.n%len(p.sizes)])])
	p.data = p.data[n:]
	p.n++
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func BenchmarkState(b *testing.B) {
	st := &fib.State{Sysctls: fib.DefaultSysctls(), Links: []fib.Link{{Index: 1, Name: "eth0"}}}
	gw := netip.MustParseAddr("192.0.2.1")
	const n = 100_000
	for i := range n {
		a := netip.AddrFrom4([4]byte{1, byte(i >> 16), byte(i >> 8), byte(i)})
		st.Routes = append(st.Routes, fib.Route{Table: 100, Dst: netip.PrefixFrom(a, 32), Type: fib.TypeUnicast,
			Protocol: 12, Nexthops: []fib.Nexthop{{Link: 1, Gateway: gw, Weight: 1}}})
	}
	file := encode(b, st, StateOptions{})
	b.Run("op=write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var out bytes.Buffer
			if err := WriteState(&out, st, StateOptions{}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "routes/s")
	})
	b.Run("op=read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := ReadState(bytes.NewReader(file)); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "routes/s")
	})
}
