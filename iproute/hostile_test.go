package iproute

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

const stateHead = `{"format":"fibula-state","version":1,"links":[{"ifindex":1,"ifname":"lo"},{"ifindex":2,"ifname":"e"}],`

func TestStatesThatSayTwoThingsAreRefused(t *testing.T) {
	for input, want := range map[string]string{
		stateHead + `"routes":[{"dst":"10.0.0.0/8","dev":"e","dst":"11.0.0.0/8"}]}`:                           `"dst" appears twice in an object`,
		stateHead + `"sysctls":{},"sysctls":{}}`:                                                              `"sysctls" should come before "links"`,
		stateHead + `"links":[]}`:                                                                             `"links" appears twice in an object`,
		strings.Replace(stateHead, "lo", "e", 1) + `"routes":[{"dst":"10.0.0.0/8","dev":"e"}]}`:               `dev "e": two links have that name; give the index, as a number`,
		strings.Replace(stateHead, `"e"}`, `"e"},{"ifindex":3,"ifname":"e","master":"e"}`, 1) + `"rules":[]}`: `link "e": its master "e": two links have that name`,
	} {
		_, _, err := ReadState(strings.NewReader(input))
		if assert.Error(t, err, input) {
			assert.Contains(t, err.Error(), want)
		}
	}
	_, _, err := ReadState(strings.NewReader(stateHead + `"routes":[{"dst":"10.0.0.0/8","dev":"e"},{"dst":"11.0.0.0/8","dev":"e"}]}`))
	assert.NoError(t, err, "the same keys in two objects")
}

func TestMessagesStayShort(t *testing.T) {
	long := strings.Repeat("k", 1<<18)
	for _, input := range []string{
		`"` + long + `":1}`, `"routes":[{"dst":"` + long + `"}]}`, `"routes":[{"table":"` + long + `"}]}`, `"routes":[{"dev":"` + long + `"}]}`,
		`"routes":[{"metric":` + strings.Repeat("9", 1<<18) + `}]}`, `"routes":[{"flags":["` + long + `"]}]}`, `"rules":[{"` + long + `":1}]}`,
		`"nexthops":[{"type":"` + long + `"}]}`, `"rules":[{"action":"` + long + `"}]}`, `"links":[{"flags":["` + long + `"]}]}`,
	} {
		_, _, err := ReadState(strings.NewReader(stateHead + input))
		if assert.Error(t, err, "%.60s", input) {
			assert.Less(t, len(err.Error()), 500, "%.60s", input)
		}
	}
	_, _, err := ReadState(strings.NewReader(stateHead + "\"routes\":[]}\x00"))
	require.Error(t, err)
	assert.Contains(t, err.Error(), `found '\x00'`)
}

func TestWarningsAreFew(t *testing.T) {
	fsys := minimal()
	var routes strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&routes, `,{"dst":"10.0.0.1","key%d":1,"flags":["%s%d"]}`, i, strings.Repeat("f", 1000), i)
	}
	fsys["cap/route.json"] = &fstest.MapFile{Data: []byte("[" + routes.String()[1:] + "]")}
	_, warnings, err := ReadCapture(fsys)
	require.NoError(t, err)
	assert.LessOrEqual(t, len(warnings), maxNotes+1)
	assert.Contains(t, warnings[len(warnings)-1], "more warnings are left out")
	for _, w := range warnings {
		assert.Less(t, len(w), 300)
	}
}

func TestGzipBombsAreRefused(t *testing.T) {
	bomb := func(head string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, err := io.WriteString(z, head)
		require.NoError(t, err)
		blank := bytes.Repeat([]byte(" "), 1<<20)
		for range 20 {
			_, err := z.Write(blank)
			require.NoError(t, err)
		}
		require.NoError(t, z.Close())
		p := filepath.Join(t.TempDir(), "route.json.gz")
		require.NoError(t, os.WriteFile(p, b.Bytes(), 0o600))
		return p
	}
	var member bytes.Buffer
	require.NoError(t, tar.NewWriter(&member).WriteHeader(&tar.Header{Name: "x", Mode: 0o600, Size: 20 << 20, Typeflag: tar.TypeReg}))
	for _, head := range []string{stateHead, member.String()} {
		_, _, err := Open(bomb(head))
		if assert.Error(t, err, head) {
			assert.Contains(t, err.Error(), "if that is right, gunzip it first")
		}
	}
}

// What a name of a file, a link or a table holds reaches no terminal as an order.
func TestNamesReachTextHarmless(t *testing.T) {
	harmless := func(text string) {
		t.Helper()
		assert.NotContains(t, text, "\x1b")
		assert.NotContains(t, text, "\u009b", "the one-character CSI")
		assert.NotContains(t, text, "\u202e", "right-to-left override")
	}
	const name = "a\x1b[2J\u009b1m\u202eb"
	rule := rules.Rule{Family: fib.Inet, Iif: name, Oif: name, Action: rules.ActLookup, Table: 254}
	harmless(string((*Names)(nil).AppendRule(nil, &rule, true, true, false)))
	metrics := fib.Metrics{CongCtl: name}
	harmless(string((&Printer{}).AppendReply(nil, &Reply{Family: fib.Inet, Type: fib.TypeUnicast, Metrics: &metrics})))
	links := testLinks{{Index: 2, Name: name}}
	harmless(string((&Printer{Links: links}).AppendReply(nil, &Reply{Family: fib.Inet, Dev: 2})))
	for _, json := range []string{string(appendJSONString(nil, "\u009b\x7f")), func() string { w := &jsonWriter{}; w.str("\u009b\x7f"); return string(w.b) }()} {
		assert.Equal(t, `"\u009b\u007f"`, json)
	}
	names, warnings := LoadNames(fstest.MapFS{"etc/iproute2/rt_tables": {Data: []byte("7 " + name + "\n8 ok\n")}})
	assert.Equal(t, "7", names.TableName(7))
	assert.Equal(t, "ok", names.TableName(8))
	assert.Len(t, warnings, 1)
	harmless(strings.Join(warnings, ""))

	fsys := minimal()
	for _, file := range []string{name, "cap/route" + name + ".json", name + "/rule.json"} {
		fsys[file] = &fstest.MapFile{Data: []byte("[")}
	}
	_, warnings, err := ReadCapture(fsys)
	require.NoError(t, err)
	harmless(strings.Join(warnings, ""))
	_, _, err = ReadCapture(fstest.MapFS{name: {}})
	require.Error(t, err)
	harmless(err.Error())
}

// A part of a capture that is left is named.
func TestLinkedFilesAreNoted(t *testing.T) {
	const want = "link.json: not used: a"
	dir := t.TempDir()
	for _, name := range []string{"route.json", "elsewhere"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("[]"), 0o600))
	}
	require.NoError(t, os.Symlink("elsewhere", filepath.Join(dir, "link.json")))
	_, warnings, err := Open(dir)
	require.NoError(t, err)
	assert.Contains(t, strings.Join(warnings, "\n"), want)

	for _, kind := range []byte{tar.TypeSymlink, tar.TypeLink} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		require.NoError(t, w.WriteHeader(&tar.Header{Name: "route.json", Mode: 0o600, Size: 2, Typeflag: tar.TypeReg}))
		_, err := w.Write([]byte("[]"))
		require.NoError(t, err)
		require.NoError(t, w.WriteHeader(&tar.Header{Name: "link.json", Typeflag: kind, Linkname: "/etc/passwd"}))
		require.NoError(t, w.Close())
		file := filepath.Join(t.TempDir(), "capture.tar")
		require.NoError(t, os.WriteFile(file, b.Bytes(), 0o600))
		_, warnings, err := Open(file)
		require.NoError(t, err)
		assert.Contains(t, strings.Join(warnings, "\n"), want)
	}
}
