package iproute

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/errno"
)

// testLinks are links by index, for tests without a snapshot.
type testLinks []fib.Link

func (ls testLinks) LinkByName(name string) (fib.Link, bool) {
	for _, l := range ls {
		if l.Name == name {
			return l, true
		}
	}
	return fib.Link{}, false
}

func (ls testLinks) Link(index int32) (fib.Link, bool) {
	for _, l := range ls {
		if l.Index == index {
			return l, true
		}
	}
	return fib.Link{}, false
}

var someLinks = testLinks{{Index: 1, Name: "lo"}, {Index: 2, Name: "d0"}, {Index: 3, Name: "d1"}, {Index: 9, Name: "red", Kind: "vrf"}}

func genAddr(v6 bool) *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		n := 4
		if v6 {
			n = 16
		}
		b := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 1, 10, 32, 127, 224, 255, 0xfe, 0x80}), n, n).Draw(t, "addr")
		a, _ := netip.AddrFromSlice(b)
		return a
	})
}

var genQuery = rapid.Custom(func(t *rapid.T) Query {
	v6 := rapid.Bool().Draw(t, "v6")
	addr := genAddr(v6)
	maybe := func() bool { return rapid.Bool().Draw(t, "has") }
	q := Query{Dst: addr.Draw(t, "dst"), Cut: -1, CallerUID: 7}
	q.Family = addrFamily(q.Dst)
	bits := q.Family.Bits()
	if maybe() {
		q.From = netip.PrefixFrom(addr.Draw(t, "from"), rapid.SampledFrom([]int{0, 8, bits, bits}).Draw(t, "fromlen"))
	}
	if maybe() {
		q.Cut = int16(rapid.IntRange(0, bits-1).Draw(t, "cut"))
	}
	if maybe() {
		q.As = addr.Draw(t, "as")
	}
	name := rapid.StringMatching(`[a-z0-9:.@_-]{1,15}|[a-z "]{1,5}|from|help|'`)
	if maybe() {
		q.Iif = name.Draw(t, "iif")
	}
	switch rapid.IntRange(0, 2).Draw(t, "out") {
	case 1:
		q.Oif = name.Draw(t, "oif")
	case 2:
		q.Vrf = name.Draw(t, "vrf")
	}
	u32 := rapid.SampledFrom([]uint32{0, 1, 8, 0xff, 1<<32 - 1})
	if maybe() {
		q.HasUID, q.UID = true, u32.Draw(t, "uid")
	}
	if maybe() {
		q.HasIPProto, q.IPProto = true, rapid.Byte().Draw(t, "ipproto")
	}
	q.Mark, q.FlowLabel = u32.Draw(t, "mark"), u32.Draw(t, "flowlabel")
	q.TOS = rapid.Byte().Draw(t, "tos")
	q.Sport, q.Dport = rapid.Uint16().Draw(t, "sport"), rapid.Uint16().Draw(t, "dport")
	q.FibMatch, q.Connected, q.Notify = maybe(), maybe(), maybe()
	return q
})

func parseLine(line string, env Env) (Query, error) {
	words, err := SplitLine(nil, line)
	if err != nil {
		return Query{}, err
	}
	return ParseGet(words, env)
}

func TestParseIsInverseOfString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := genQuery.Draw(t, "query")
		got, err := parseLine(q.String(), Env{UID: q.CallerUID})
		require.NoError(t, err, q.String())
		require.Equal(t, q, got, q.String())
	})
}

func TestEveryAbbreviationMeansOneWord(t *testing.T) {
	for word, id := range map[string]getWord{
		"d": wordDSField, "ds": wordDSField, "dp": wordDport, "dev": wordOif, "de": wordAddr, "f": wordFrom, "fi": wordFibMatch,
		"fl": wordAddr, "i": wordIif, "ip": wordIPProto, "m": wordMark, "o": wordOif, "n": wordNotify, "c": wordConnected,
		"v": wordVrf, "u": wordUID, "s": wordSport, "as": wordAs, "a": wordAddr, "t": wordAddr, "to": wordTo, "tos": wordTOS,
		"h": wordHelp, "": wordAddr, "fromm": wordAddr, "10": wordAddr,
	} {
		assert.Equal(t, id, lookupWord(word), word)
	}
}

const wordDSField = wordTOS

func TestParseGetReadsWhatIPReads(t *testing.T) {
	env := Env{UID: 1000}
	base := func(dst string) Query {
		a := netip.MustParseAddr(dst)
		return Query{Dst: a, Family: addrFamily(a), CallerUID: 1000, Cut: -1}
	}
	for line, want := range map[string]func(q *Query){
		"10.9":                          func(q *Query) { *q = base("10.9.0.0") },
		"0x0a.011.1":                    func(q *Query) { *q = base("10.9.1.0") },
		"default":                       func(q *Query) { *q = base("0.0.0.0") },
		"10.0.0.1/24":                   func(q *Query) { q.Cut = 24 },
		"10.0.0.1/255.255.0.0":          func(q *Query) { q.Cut = 16 },
		"10.0.0.1/32":                   func(*Query) {},
		"1.1.1.1 10.0.0.1":              func(*Query) {},
		"10.0.0.1 mark 0x10":            func(q *Query) { q.Mark = 16 },
		"10.0.0.1 m 010":                func(q *Query) { q.Mark = 8 },
		"10.0.0.1 d 10":                 func(q *Query) { q.TOS = 0x10 },
		"10.0.0.1 ipproto tcp dp 80":    func(q *Query) { q.HasIPProto, q.IPProto, q.Dport = true, 6, 80 },
		"10.0.0.1 from any":             func(*Query) {},
		"10.0.0.1 f 10.0.0.2 i d0":      func(q *Query) { q.From, q.Iif = netip.MustParsePrefix("10.0.0.2/32"), "d0" },
		"10.0.0.1 oif a vrf b":          func(q *Query) { q.Vrf = "b" },
		"10.0.0.1 vrf a dev b":          func(q *Query) { q.Oif = "b" },
		"fi to 10.0.0.1 uid 0x10":       func(q *Query) { q.FibMatch, q.HasUID, q.UID = true, true, 16 },
		"::1 from any":                  func(q *Query) { *q = base("::1") },
		"::ffff:1.2.3.4":                func(q *Query) { *q = base("::ffff:1.2.3.4") },
		"ip route get 10.0.0.1":         func(*Query) {},
		"r g 10.0.0.1 # a comment":      func(*Query) {},
		"10.0.0.1 as to 10.0.0.2":       func(q *Query) { q.As = netip.MustParseAddr("10.0.0.2") },
		"2001:db8::1 flowlabel 0xfffff": func(q *Query) { *q = base("2001:db8::1"); q.FlowLabel = 0xfffff },
	} {
		q := base("10.0.0.1")
		want(&q)
		got, err := parseLine(line, env)
		require.NoError(t, err, line)
		assert.Equal(t, q, got, line)
	}
}

func TestFlowRefusesWhatAKernelRefuses(t *testing.T) {
	for line, want := range map[string]struct {
		exit  int
		errno fib.Errno
		word  string
	}{
		"10.0.0.1 oif nope":             {1, fib.ENODEV, "nope"},
		"10.0.0.1 vrf d0":               {255, fib.EINVAL, "d0"},
		"10.0.0.1 from 10.0.0.0/8":      {2, fib.EINVAL, "10.0.0.0/8"},
		"10.0.0.1 as 10.0.0.2":          {2, fib.EINVAL, "as"},
		"10.0.0.1 ipproto gre":          {2, fib.EOPNOTSUPP, "ipproto"},
		"::1 ipproto icmp":              {2, fib.EOPNOTSUPP, "ipproto"},
		"::1 flowlabel 0x100000":        {2, fib.EINVAL, "flowlabel"},
		"::1 notify":                    {2, fib.EINVAL, "notify"},
		"10.0.0.1 flowlabel 1":          {2, fib.EINVAL, "flowlabel"},
		"10.0.0.1 iif nope oif gone":    {1, fib.ENODEV, "nope"},
		"10.0.0.1 ipproto gre oif gone": {1, fib.ENODEV, "gone"},
	} {
		q, err := parseLine(line, Env{})
		require.NoError(t, err, line)
		_, err = q.Flow(someLinks)
		var usage *UsageError
		require.ErrorAs(t, err, &usage, line)
		assert.Equal(t, want.exit, usage.Exit, line)
		assert.Equal(t, want.word, usage.Word, line)
		assert.ErrorIs(t, err, want.errno, line)
		assert.Contains(t, err.Error(), want.word, line)
		assert.Equal(t, want.exit, ExitCode(err))
	}
	q, err := parseLine("10.0.0.1 from 10.0.0.2 iif d0 oif red mark 5 tos 12 uid 3 ipproto udp sport 1 dport 2", Env{UID: 9})
	require.NoError(t, err)
	f, err := q.Flow(someLinks)
	require.NoError(t, err)
	assert.Equal(t, fib.Flow{Dst: netip.MustParseAddr("10.0.0.1"), Src: netip.MustParseAddr("10.0.0.2"), Iif: 2, Oif: 9, Mark: 5,
		TOS: 0x12, UID: 3, UIDSet: true, IPProto: 17, Sport: 1, Dport: 2}, f)
	q, err = parseLine("10.0.0.1 oif if77", Env{UID: 9})
	require.NoError(t, err)
	f, err = q.Flow(someLinks)
	require.NoError(t, err)
	assert.Equal(t, fib.Flow{Dst: netip.MustParseAddr("10.0.0.1"), Oif: 77, UID: 9}, f)
}

func TestErrorsNameTheWordAndStayShort(t *testing.T) {
	_, err := parseLine("10.0.0.1 mark "+strings.Repeat("x", 10000)+"\x1b[2J", Env{})
	require.Error(t, err)
	assert.Less(t, len(err.Error()), 250)
	assert.NotContains(t, err.Error(), "\x1b")
	_, err = parseLine("10.0.0.1 tos \x1bx", Env{})
	assert.ErrorContains(t, err, `argument "\x1bx" of "tos" is wrong`)
}

func TestParseGetDoesNotAllocate(t *testing.T) {
	words := strings.Fields("fibmatch to 10.0.0.1 from 10.0.0.2 iif d0 tos 10 mark 0x5 ipproto tcp dport 80")
	var links Links = someLinks
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		q, err := ParseGet(words, Env{})
		if err == nil {
			_, err = q.Flow(links)
		}
		if err != nil {
			t.Fatal(err)
		}
	}))
}

func FuzzParseGet(f *testing.F) {
	f.Add("10.0.0.1 from 10.0.0.2 iif d0", false)
	f.Add("fibmatch to 2001:db8::1/64 oif d0 tos AF11 mark 0x1 uid 0 ipproto 58 sport 1 dport 2 flowlabel 5", true)
	f.Add("'10.1' vrf \"a b\" as to 1.2.3.4 connected notify", false)
	f.Add("default from all", true)
	f.Fuzz(func(t *testing.T, line string, v6 bool) {
		env := Env{}
		if v6 {
			env.Family = fib.Inet6
		}
		q, err := parseLine(line, env)
		if err != nil {
			var usage *UsageError
			require.ErrorAs(t, err, &usage)
			require.Contains(t, []int{1, 2, 255}, usage.Exit)
			e, ok := errno.Of(err)
			require.True(t, ok && e != 0)
			return
		}
		require.True(t, q.Dst.IsValid())
		require.Equal(t, q.Family, addrFamily(q.Dst))
		_, _ = q.Flow(someLinks)
		if strings.Contains(q.Iif+q.Oif+q.Vrf, `"`) || strings.Contains(q.Iif+q.Oif+q.Vrf, `'`) {
			return // cannot always be quoted
		}
		again, err := parseLine(q.String(), Env{})
		require.NoError(t, err, q.String())
		require.Equal(t, q, again, q.String())
	})
}
