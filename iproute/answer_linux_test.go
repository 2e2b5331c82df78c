package iproute

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/ksync"
)

// A decision prints as ip prints the kernel's answer to the same words, from
// words to text, with nothing but the namespace in common.
func TestAnswersAsIP(t *testing.T) {
	ns := richNamespace(t)
	f, err := ksync.Load(t.Context(), ksync.Options{NetNS: ksync.Named(ns.Name())})
	require.NoError(t, err)
	snapshot := f.Snapshot()
	names, _ := LoadNames(rootFS())
	answered := 0
	// notify comes last: a kernel repeats it to whoever asks next.
	for _, mode := range []string{"", "fibmatch ", "notify "} {
		text, object := Printer{Names: names, Links: snapshot}, Printer{Names: names, Links: snapshot, JSON: true, StrictIP: true}
		var queries []string
		var ourText, ourJSON []byte
		for _, query := range printedQueries {
			q, err := parseLine(mode+query, Env{Names: names})
			require.NoError(t, err)
			flow, err := q.Flow(snapshot)
			if err != nil {
				_, _, code := ns.TryIP("route get " + mode + query)
				assert.Equal(t, code, ExitCode(err), "ip route get %s%s: %v", mode, query, err)
				continue
			}
			d := snapshot.Resolve(flow)
			if d.Undetermined != 0 {
				continue // a hash that no observer knows
			}
			match, route, found := snapshot.FibMatch(flow)
			e := d.Errno
			if q.FibMatch {
				e = match.Errno
			}
			if e != 0 {
				stdout, stderr, _ := ns.TryIP("route get " + mode + query)
				assert.Equal(t, stderr, Answers(e)+"\n", "ip route get %s%s: %s", mode, query, stdout)
				continue
			}
			behind := &route
			if !found {
				behind = nil
			}
			r := q.Reply(&flow, &d, behind)
			ourText, ourJSON = text.AppendReply(ourText, &r), object.AppendReply(ourJSON, &r)
			queries = append(queries, mode+query)
		}
		assert.Equal(t, lifetime(ipBatch(t, ns, "", queries)), lifetime(string(ourText)), "ip route get %s", mode)
		assert.Equal(t, lifetime(ipBatch(t, ns, "-j", queries)), lifetime(string(ourJSON)), "ip -j route get %s", mode)
		answered += len(queries)
	}
	assert.Greater(t, answered, 120)
}
