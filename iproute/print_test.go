package iproute

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fibula-net/fibula/fib"
)

var genReply = rapid.Custom(func(t *rapid.T) Reply {
	v6 := rapid.Bool().Draw(t, "v6")
	addr := genAddr(v6)
	u32 := rapid.SampledFrom([]uint32{0, 0, 1, 15, 16, 0x20003, 1<<32 - 1})
	maybe := func() bool { return rapid.Bool().Draw(t, "has") }
	r := Reply{
		Type: fib.RouteType(rapid.IntRange(0, 13).Draw(t, "type")), Dst: hostPrefix(addr.Draw(t, "dst")), TOS: rapid.Byte().Draw(t, "tos"),
		NexthopID: u32.Draw(t, "nhid"), Dev: int32(rapid.IntRange(0, 5).Draw(t, "dev")), Table: fib.TableID(u32.Draw(t, "table")),
		Protocol: fib.Protocol(rapid.Byte().Draw(t, "protocol")), Scope: fib.Scope(rapid.Byte().Draw(t, "scope")),
		Metric: u32.Draw(t, "metric"), HasMetric: maybe(), Flags: rapid.Uint32().Draw(t, "flags"), Mark: u32.Draw(t, "mark"),
		Realms: u32.Draw(t, "realms"), UID: u32.Draw(t, "uid"), HasUID: maybe(), Expires: u32.Draw(t, "expires"),
		Pref: fib.RouterPref(rapid.IntRange(0, 3).Draw(t, "pref")), Iif: int32(rapid.IntRange(0, 5).Draw(t, "iif")),
	}
	r.Family = addrFamily(r.Dst.Addr())
	encap := rapid.Custom(func(t *rapid.T) fib.Encap {
		return fib.Encap{Type: uint16(rapid.IntRange(0, 11).Draw(t, "encap")), Data: string(rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "data"))}
	})
	r.Encap = encap.Draw(t, "encap")
	if maybe() {
		r.From = hostPrefix(addr.Draw(t, "from"))
		r.PrefSrc = addr.Draw(t, "prefsrc")
		r.Gateway = genAddr(maybe()).Draw(t, "gateway")
	}
	if maybe() {
		r.Metrics = &fib.Metrics{CongCtl: rapid.SampledFrom([]string{"", "reno", "\xff\x00\""}).Draw(t, "cc")}
		for i := 1; i < len(r.Metrics.Values); i++ {
			r.Metrics.Values[i] = u32.Draw(t, "metric value")
		}
	}
	for range rapid.SampledFrom([]int{0, 0, 2, 3}).Draw(t, "legs") {
		r.Nexthops = append(r.Nexthops, fib.Nexthop{Link: int32(rapid.IntRange(0, 5).Draw(t, "link")), Gateway: genAddr(maybe()).Draw(t, "via"),
			Weight: rapid.Uint16().Draw(t, "weight"), Flags: fib.NexthopFlags(rapid.Byte().Draw(t, "legflags")), Encap: encap.Draw(t, "legencap")})
	}
	if maybe() {
		r.Decision = &fib.Decision{HasRoute: maybe(), HasRule: maybe(), Prefix: r.Dst, Rule: u32.Draw(t, "rule"), TOS: rapid.Byte().Draw(t, "dtos"),
			NexthopID: u32.Draw(t, "dnhid"), Undetermined: fib.Undetermined(rapid.IntRange(0, 7).Draw(t, "und"))}
	}
	return r
})

// uniqueKeys fails if an object of the document has a key twice.
func uniqueKeys(t *rapid.T, doc []byte) {
	var walk func(d *json.Decoder)
	walk = func(d *json.Decoder) {
		tok, err := d.Token()
		require.NoError(t, err)
		switch tok {
		case json.Delim('{'):
			seen := map[any]bool{}
			for d.More() {
				key, err := d.Token()
				require.NoError(t, err)
				require.False(t, seen[key], "key %v twice in %s", key, doc)
				seen[key] = true
				walk(d)
			}
			_, _ = d.Token()
		case json.Delim('['):
			for d.More() {
				walk(d)
			}
			_, _ = d.Token()
		}
	}
	walk(json.NewDecoder(bytes.NewReader(doc)))
}

func TestJSONIsValidAndPrettyMeansTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genReply.Draw(t, "reply")
		p := Printer{JSON: true, Links: testLinks{{Index: 2, Name: "a\"\\\x01\xfe"}}, StrictIP: rapid.Bool().Draw(t, "strict")}
		compact := p.AppendReply(nil, &r)
		require.True(t, json.Valid(compact), "%s", compact)
		if !p.StrictIP {
			uniqueKeys(t, compact)
		}
		object := p.AppendAnswer([]byte("["), &Answer{Reply: r})
		require.Equal(t, string(compact), strings.TrimSuffix(string(object), "\n")+"]\n")
		p.Pretty = true
		var again bytes.Buffer
		require.NoError(t, json.Compact(&again, p.AppendReply(nil, &r)))
		require.Equal(t, string(compact), again.String()+"\n")
	})
}

func TestStrictIPOnlyLeavesOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genReply.Draw(t, "reply")
		r.Encap = fib.Encap{}
		for i := range r.Nexthops {
			r.Nexthops[i].Encap = fib.Encap{}
		}
		strict := Printer{StrictIP: true}
		full := Printer{}
		want := strings.TrimSuffix(string(strict.AppendAnswer(nil, &Answer{Reply: r})), "}\n")
		require.True(t, strings.HasPrefix(string(full.AppendAnswer(nil, &Answer{Reply: r})), want))
	})
}

func TestTextIsOneLineWithOneline(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genReply.Draw(t, "reply")
		if r.Metrics != nil {
			r.Metrics.CongCtl = ""
		}
		p := Printer{}
		text := string(p.AppendReply(nil, &r))
		p.Oneline = true
		one := string(p.AppendReply(nil, &r))
		require.Equal(t, strings.Count(one, "\n"), 1)
		require.Equal(t, text, strings.ReplaceAll(strings.TrimSuffix(one, "\n"), `\`, "\n")+"\n")
	})
}

func TestPrintingDoesNotAllocate(t *testing.T) {
	d := fib.Decision{HasRoute: true, HasRule: true}
	q, err := parseLine("10.0.0.1 mark 3", Env{})
	require.NoError(t, err)
	f, err := q.Flow(someLinks)
	require.NoError(t, err)
	p := Printer{Links: someLinks, JSON: true}
	buf := make([]byte, 0, 4096)
	d.Link, d.Gateway, d.Source, d.Table, d.Type = 2, f.Dst, f.Dst, 100, fib.TypeUnicast
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		r := q.Reply(&f, &d, nil)
		buf = p.AppendAnswer(buf[:0], &Answer{Reply: r})
	}), 3.0, "numbers as names may allocate; nothing else")
}

func TestFailureObjects(t *testing.T) {
	q, err := parseLine("10.0.0.1", Env{})
	require.NoError(t, err)
	f, err := q.Flow(someLinks)
	require.NoError(t, err)
	p := Printer{JSON: true}
	d := fib.Decision{Errno: fib.EHOSTUNREACH, HasRule: true, Rule: 100, HasRoute: true, Table: 50, Prefix: hostPrefix(f.Dst), RouteType: fib.TypeUnreachable}
	assert.Equal(t, `{"error":"EHOSTUNREACH","message":"No route to host","dst":"10.0.0.1","rule":100,"table":"50","prefix":"10.0.0.1","type":"unreachable"}`+"\n",
		string(p.AppendAnswer(nil, &Answer{Dst: f.Dst, Errno: d.Errno, Decision: d})))
	assert.Equal(t, "RTNETLINK answers: No route to host", Answers(d.Errno))
	_, err = parseLine("10.0.0.1 mark x", Env{})
	out := p.AppendError(nil, err)
	var got map[string]string
	require.NoError(t, json.Unmarshal(out, &got))
	assert.Equal(t, "EINVAL", got["error"])
	assert.Equal(t, "x", got["word"])
	assert.Contains(t, got["message"], `"x"`)
}

func BenchmarkBatch(b *testing.B) {
	words := make([]string, 0, 16)
	d := fib.Decision{HasRoute: true, HasRule: true, Link: 2, Table: 254, Type: fib.TypeUnicast}
	p := Printer{Links: someLinks, JSON: true}
	var buf []byte
	for b.Loop() {
		words, _ = SplitLine(words[:0], "10.0.0.1 from 10.0.0.2 mark 0x10 oif d0 ipproto tcp dport 80")
		q, _ := ParseGet(words, Env{})
		f, _ := q.Flow(p.Links)
		r := q.Reply(&f, &d, nil)
		buf = p.AppendAnswer(buf[:0], &Answer{Reply: r})
	}
}

func TestNamesOfLinksCannotSteerATerminal(t *testing.T) {
	r := Reply{Family: fib.Inet, Type: fib.TypeUnicast, Dev: 2, Stored: true}
	p := Printer{Links: testLinks{{Index: 2, Name: "a\x1b[2J"}}}
	assert.Contains(t, string(p.AppendReply(nil, &r)), "dev a?[2J ")
	p.JSON = true
	assert.Contains(t, string(p.AppendReply(nil, &r)), `"dev":"a\u001b[2J"`)
}
