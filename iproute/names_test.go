package iproute

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fibula-net/fibula/fib"
)

func files(content map[string]string) fs.FS {
	m := fstest.MapFS{}
	for name, text := range content {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func TestNamesOfFilesOverrideBuiltins(t *testing.T) {
	n, warnings := LoadNames(files(map[string]string{
		"etc/iproute2/rt_tables":                "# comment\n255\tlocal\n254 main\n 0x64 uplink # ours\n100000 far\n7 old\n",
		"usr/share/iproute2/rt_tables":          "8 hidden-by-etc\n",
		"etc/iproute2/rt_tables.d/a.conf":       "7 new\n",
		"usr/share/iproute2/rt_tables.d/a.conf": "9 hidden-by-etc\n",
		"usr/share/iproute2/rt_tables.d/b.conf": "10 shared\n",
		"etc/iproute2/rt_tables.d/README":       "11 not-a-conf\n",
		"usr/lib/iproute2/rt_protos":            "99 openr\n4 fixed\n",
		"etc/iproute2/rt_realms":                "5 lab\n",
		"etc/iproute2/rt_dsfield":               "0xB8 EF\n",
		"etc/iproute2/group":                    "12 uplinks\n",
		"etc/protocols":                         "ospf 89 OSPFIGP # routing\nipv6-icmp\t58\tIPv6-ICMP\n",
	}))
	assert.Empty(t, warnings)
	for id, want := range map[uint32]string{255: "local", 254: "main", 253: "default", 100: "uplink", 100000: "far", 7: "new",
		8: "8", 9: "9", 10: "shared", 11: "11", 1<<32 - 1: "4294967295"} {
		assert.Equal(t, want, n.TableName(id))
	}
	for word, want := range map[string]uint32{"uplink": 100, "far": 100000, "old": 7, "0x64": 100, "0144": 100, "main": 254} {
		got, err := n.Table(word)
		require.NoError(t, err, word)
		assert.Equal(t, want, got, word)
	}
	assert.Equal(t, "openr", n.ProtocolName(99))
	assert.Equal(t, "fixed", n.ProtocolName(4))
	assert.Equal(t, "kernel", n.ProtocolName(2))
	assert.Equal(t, "lab", n.RealmName(5))
	assert.Equal(t, "EF", n.DSFieldName(0xb8))
	assert.Equal(t, "0x10", n.DSFieldName(0x10))
	assert.Equal(t, "uplinks", n.GroupName(12))
	for _, word := range []string{"89", "ospf", "OSPFIGP"} {
		got, err := n.IPProto(word)
		require.NoError(t, err)
		assert.Equal(t, uint8(89), got)
	}
	n.Numeric = true
	assert.Equal(t, "254", n.TableName(254))
	assert.Equal(t, "0xb8", n.DSFieldName(0xb8))
	assert.Equal(t, "ipproto-6", n.IPProtoName(6))
	assert.Equal(t, "2", n.TypeName(fib.TypeLocal))
}

func TestBadLinesOfNameFilesAreSkippedWithAWarning(t *testing.T) {
	n, warnings := LoadNames(files(map[string]string{
		"etc/iproute2/rt_tables": "junk\n12\n13 #x\n-1 negative\n99999999999 big\n0xzz hex\n14 good\n",
		"etc/iproute2/rt_protos": "300 toobig\n20 good\n",
		"etc/iproute2/rt_scopes": strings.Repeat("?\n", 1000),
		"etc/protocols":          "x y\nlone\n",
	}))
	assert.Equal(t, "good", n.TableName(14))
	assert.Equal(t, "good", n.ProtocolName(20))
	require.Len(t, warnings, maxNameWarnings+1)
	assert.Equal(t, `/etc/iproute2/rt_tables:1: skipped "junk": expected a number and a name`, warnings[0])
	assert.Contains(t, strings.Join(warnings, "\n"), "/etc/iproute2/rt_protos:1: skipped \"300 toobig\": number above 255")
	assert.Contains(t, warnings[maxNameWarnings], "more lines")
}

// Whatever the files say, a name that is printed reads back as its number, unless
// a later line gave the same name to another number.
func TestNamesReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var file strings.Builder
		used := map[string]bool{}
		for range rapid.IntRange(0, 20).Draw(t, "lines") {
			name := rapid.StringMatching(`[a-z][a-z0-9]{0,6}`).Draw(t, "name")
			if !used[name] {
				used[name] = true
				file.WriteString(rapid.SampledFrom([]string{"1", "0x2", "254", "255", "77777"}).Draw(t, "id") + " " + name + "\n")
			}
		}
		n, warnings := LoadNames(files(map[string]string{"etc/iproute2/rt_tables": file.String()}))
		require.Empty(t, warnings)
		n.Numeric = rapid.Bool().Draw(t, "numeric")
		for _, id := range []uint32{0, 1, 2, 253, 254, 255, 77777, rapid.Uint32().Draw(t, "id")} {
			name := n.TableName(id)
			back, err := n.Table(name)
			if used[name] && n.TableName(back) != name {
				t.Fatalf("%d is %q, which reads as %d", id, name, back)
			}
			if err != nil || !used[name] && !used["main"] && !used["local"] && !used["default"] && back != id {
				t.Fatalf("%d is %q, which reads as %d, %v", id, name, back, err)
			}
		}
	})
}

func FuzzLoadNames(f *testing.F) {
	f.Add([]byte("255\tlocal\n# x\n0x10 y z\n"))
	f.Add([]byte("\x00\xff 1 2\n-0 x\n0x 1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, _ := LoadNames(fstest.MapFS{
			"etc/iproute2/rt_tables": {Data: data}, "etc/iproute2/rt_protos": {Data: data},
			"etc/iproute2/rt_dsfield": {Data: data}, "etc/protocols": {Data: data},
		})
		for id := range 256 {
			if n.TableName(uint32(id)) == "" || n.ProtocolName(uint8(id)) == "" || n.DSFieldName(uint8(id)) == "" || n.IPProtoName(uint8(id)) == "" {
				t.Fatalf("%d has an empty name", id)
			}
		}
	})
}
