package iproute

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/rules"
)

// allocated is what read takes from the heap in all, given back or not.
func allocated(read func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	read()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// What a few bytes may cost does not depend on the numbers in them.
func TestHostileFilesTakeLittleMemory(t *testing.T) {
	const room = 16 << 20 // bytes, some times the buffers of a reader; the race detector takes more
	capture := func(name, content string) func() error {
		fsys := minimal()
		fsys[name] = &fstest.MapFile{Data: []byte(content)}
		return func() error { _, _, err := ReadCapture(fsys); return err }
	}
	state := func(content string) func() error {
		return func() error { _, _, err := ReadState(strings.NewReader(content)); return err }
	}
	dump := func(message ...byte) func() error {
		return capture("x", string(binary.NativeEndian.AppendUint32(nil, magicRoute))+string(message))
	}
	var groups, buckets []string
	for id := range 500 {
		groups = append(groups, fmt.Sprintf(`{"id":%d,"type":"resilient"}`, id+1))
		buckets = append(buckets, fmt.Sprintf(`{"id":%d,"bucket":{"index":65535,"nhid":1}}`, id+1))
	}
	list := func(objects []string) string { return "[" + strings.Join(objects, ",") + "]" }
	manyBuckets := minimal()
	manyBuckets["cap/nexthop.json"] = &fstest.MapFile{Data: []byte(list(groups))}
	manyBuckets["cap/bucket.json"] = &fstest.MapFile{Data: []byte(list(buckets))}
	deep := strings.Repeat("[", 1<<20)
	attributes := binary.NativeEndian.AppendUint32(nil, 16+12+4<<17)
	attributes = append(attributes, rtnl.RTM_NEWROUTE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(fib.Inet), 0, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0)
	for i := range 1 << 17 {
		attributes = append(attributes, 4, 0, 200, byte(i)&0x3f)
	}
	for name, c := range map[string]struct {
		read func() error
		want string // part of the error; "" for none
	}{
		"buckets far out":              {func() error { _, _, err := ReadCapture(manyBuckets); return err }, "bucket 65535 of nexthop 1 after 0 others"},
		"deep JSON in a state":         {state(stateHead + `"routes":` + deep), "expected an object"},
		"deep JSON in a capture":       {capture("cap/neigh.json", `[{"novel":`+deep), "nested more than 64 deep"},
		"a string without end":         {state(stateHead + `"kernel":"` + strings.Repeat("6", 4<<20)), "longer than"},
		"a number without end":         {state(stateHead + `"routes":[{"metric":` + strings.Repeat("1", 4<<20)), "longer than"},
		"a message of 4 GiB":           {dump(0xff, 0xff, 0xff, 0xff), "says it has 4294967295 bytes"},
		"a message that is not there":  {dump(0xf0, 0xff, 0x0f, 0), "cut short"},
		"a message of attributes only": {dump(attributes...), ""},
		"keys that are not known":      {capture("cap/neigh.json", `[{`+strings.Repeat(`"k":1,`, 1<<15)+`"k":1}]`), ""},
	} {
		var err error
		used := allocated(func() { err = c.read() })
		assert.Less(t, used, uint64(room), name)
		if c.want == "" {
			assert.NoError(t, err, name)
		} else if assert.Error(t, err, name) {
			assert.Contains(t, err.Error(), c.want, name)
		}
	}
}

// A gzip file or a sparse one in a tar says more than it has.
func TestPackedFilesTakeNoMoreThanTheySay(t *testing.T) {
	write := func(name string, content []byte) string {
		p := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(p, content, 0o600))
		return p
	}
	var zeros bytes.Buffer
	z := gzip.NewWriter(&zeros)
	blank := bytes.Repeat([]byte(" "), 1<<20)
	for range 64 {
		_, err := z.Write(blank)
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())

	for name, c := range map[string]struct {
		file string
		room uint64
		want string
	}{
		"blanks":             {write("route.json.gz", zeros.Bytes()), 128 << 20, "if that is right, gunzip it first"},
		"a hole of 1 GiB":    {write("x.tar", sparseTar(t)), 1 << 20, "a sparse file"},
		"an old sparse file": {write("y.tar", oldSparseTar(t)), 1 << 20, "a sparse file"},
	} {
		var err error
		used := allocated(func() { _, _, err = Open(c.file) })
		assert.Less(t, used, c.room, name)
		if assert.Error(t, err, name) {
			assert.Contains(t, err.Error(), c.want, name)
		}
	}
}

// sparseTar is what tar --sparse makes of a file that is one hole. The writer of
// archive/tar makes no such files, so a word is put in its place afterwards.
func sparseTar(t *testing.T) []byte {
	const size = "1073741824"
	holes := make([]byte, 512)
	copy(holes, "1\n"+size+"\n0\n")
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "sparse/route.json", Mode: 0o600, Size: 512, Typeflag: tar.TypeReg,
		PAXRecords: map[string]string{"GNU_sparse.major": "1", "GNU_sparse.minor": "0", "GNU_sparse.name": "route.json", "GNU_sparse.realsize": size}}))
	_, err := w.Write(holes)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	made := bytes.ReplaceAll(b.Bytes(), []byte("GNU_sparse"), []byte("GNU.sparse"))
	r := tar.NewReader(bytes.NewReader(made))
	h, err := r.Next()
	require.NoError(t, err)
	require.EqualValues(t, 1<<30, h.Size, "archive/tar reads it as a file of 1 GiB")
	return made
}

// oldSparseTar has a member of the type that GNU tar once made sparse files of.
func oldSparseTar(t *testing.T) []byte {
	b := tarOf(t, map[string]string{"route.json": ""})
	const kind, sum = 156, 148
	copy(b[257:], "ustar  \x00") // GNU's magic
	clear(b[329:512])            // its fields
	b[kind] = tar.TypeGNUSparse
	copy(b[sum:sum+8], "        ")
	n := 0
	for _, c := range b[:512] {
		n += int(c)
	}
	copy(b[sum:], fmt.Sprintf("%06o\x00 ", n))
	return b
}

// FuzzReadDump reads what ip route save, ip rule save and ip address save may have
// written: nothing panics, a dump gives no more than its bytes can hold, reading it
// again gives the same, and a state file can keep it.
func FuzzReadDump(f *testing.F) {
	add := func(magic uint32, messages ...[]byte) {
		f.Add(append(binary.NativeEndian.AppendUint32(nil, magic), bytes.Join(messages, nil)...))
	}
	var saved [][]byte
	for _, r := range dumpedRoutes() {
		m, err := rtnl.AppendRoute(nil, rtnl.Header{Type: rtnl.RTM_NEWROUTE}, &r)
		require.NoError(f, err)
		add(magicRoute, m)
		saved = append(saved, m)
	}
	add(magicRoute, saved...)
	for _, family := range []fib.Family{fib.Inet, fib.Inet6} {
		saved = nil
		for _, r := range rules.Initial(family).All() {
			q := rules.RequestOf(r)
			m, err := rtnl.AppendRule(nil, rtnl.Header{Type: rtnl.RTM_NEWRULE}, &q)
			require.NoError(f, err)
			saved = append(saved, m)
		}
		add(magicRule, saved...)
	}
	// RTM_NEWADDR of 10.1.0.1/24 on link 2, with IFA_LOCAL and IFA_ADDRESS.
	addr := []byte{40, 0, 0, 0, rtnl.RTM_NEWADDR, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(fib.Inet), 24, 128, 0, 2, 0, 0, 0,
		8, 0, 1, 0, 10, 1, 0, 1, 8, 0, 2, 0, 10, 1, 0, 1}
	add(magicAddr, addr)
	f.Fuzz(func(t *testing.T, data []byte) {
		read := func() (st fib.State, err error) {
			_, err = readDump(bytes.NewReader(data), "dump", 0, dumpSink{
				route:   func(r *fib.Route) error { st.Routes = append(st.Routes, *r); return nil },
				rule:    func(r *rules.Rule) error { st.Rules = append(st.Rules, *r); return nil },
				address: func(a *fib.Address) error { st.Addresses = append(st.Addresses, *a); return nil },
			})
			return st, err
		}
		one, err := read()
		require.LessOrEqual(t, len(one.Routes)+len(one.Rules)+len(one.Addresses), len(data)/24)
		two, again := read()
		require.Equal(t, err, again)
		require.Equal(t, len(one.Routes), len(two.Routes))
		require.Equal(t, one.Rules, two.Rules)
		require.Equal(t, one.Addresses, two.Addresses)

		st, _, err := ReadCapture(fstest.MapFS{"dump": {Data: data}})
		if err != nil {
			return
		}
		file := encode(t, st, StateOptions{})
		kept, _, err := ReadState(bytes.NewReader(file))
		require.NoError(t, err, "%s", file)
		require.Equal(t, string(file), string(encode(t, kept, StateOptions{})))
	})
}

// dumpedRoutes are a few routes of both families, as a kernel dumps them.
func dumpedRoutes() []fib.Route {
	routes, _, err := ReadState(strings.NewReader(stateHead + `"routes":[` +
		`{"dst":"0.0.0.0/0","gateway":"192.0.2.1","dev":"e","metric":100},` +
		`{"dst":"10.0.0.0/8","table":"100","nexthops":[{"gateway":"192.0.2.1","dev":"e","weight":2},{"gateway":"192.0.2.2","dev":"e","weight":1}]},` +
		`{"type":"unreachable","dst":"::/0","metric":4294967295},` +
		`{"dst":"2001:db8::/32","gateway":"fe80::1","dev":"e","metric":1024,"metrics":[{"mtu":1400}]}]}`))
	if err != nil {
		panic(err)
	}
	return routes.Routes
}
