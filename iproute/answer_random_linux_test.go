package iproute

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/flowgen"
	"github.com/fibula-net/fibula/internal/netnstest"
	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/ksync"
)

// queryOf is the query that asks for f.
func queryOf(f fib.Flow, links Links) Query {
	q := Query{Family: f.Family(), Dst: f.Dst, From: hostPrefix(f.Src), Mark: f.Mark, TOS: f.TOS, UID: f.UID, HasUID: true,
		IPProto: f.IPProto, HasIPProto: f.IPProto != 0, Sport: f.Sport, Dport: f.Dport, Cut: -1}
	if f.Iif != 0 {
		q.Iif = linkName(links, f.Iif)
	}
	if f.Oif != 0 {
		q.Oif = linkName(links, f.Oif)
	}
	return q
}

// ipAnswers asks ip with its option -o or -j: one line for each query, what ip prints or its complaint.
func ipAnswers(t *testing.T, ns *netnstest.NS, option string, queries []string) []string {
	cmd := exec.Command("ip", option, "-n", ns.Name(), "-force", "-batch", "-")
	cmd.Stdin = strings.NewReader("route get " + strings.Join(queries, "\nroute get ") + "\n")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // fails if one query does
	answers := make([]string, len(queries))
	complaint := ""
	for line := range strings.Lines(errs.String()) {
		var n int
		if _, err := fmt.Sscanf(line, "Command failed -:%d", &n); err == nil {
			answers[n-1], complaint = complaint, ""
		} else {
			complaint += line
		}
	}
	printed := strings.SplitAfter(out.String(), "\n")
	for i := range answers {
		if answers[i] == "" {
			require.NotEmpty(t, printed, "ip %s said too little: %s", option, errs.String())
			answers[i], printed = printed[0], printed[1:]
		}
	}
	assert.Equal(t, []string{""}, printed)
	return answers
}

// Random flows print as ip prints them, in text and JSON, and fail as they do there.
func TestRandomAnswersAsIP(t *testing.T) {
	rich := func(t *testing.T) *netnstest.NS {
		ns := richNamespace(t)
		ns.IP("-6 route del 2001:db8:15::/48") // shares a nexthop object, whose copy a kernel mixes up (D22a)
		return ns
	}
	for name, build := range map[string]func(*testing.T) *netnstest.NS{"captured": capturedNamespace, "rich": rich} {
		t.Run(name, func(t *testing.T) {
			ns := build(t)
			if netnstest.Has(t, netnstest.HashSeed) {
				ns.Sysctl("net.ipv4.fib_multipath_hash_seed", "77")
			}
			f, err := ksync.Load(t.Context(), ksync.Options{NetNS: ksync.Named(ns.Name())})
			require.NoError(t, err)
			snapshot := f.Snapshot()
			names, _ := LoadNames(rootFS())
			text, object := Printer{Names: names, Links: snapshot, Oneline: true}, Printer{Names: names, Links: snapshot, JSON: true, StrictIP: true}
			g := flowgen.New(snapshot, randtest.Seed(t), flowgen.Options{Input: true})
			var queries, texts, objects []string
			answered, flows := 0, randtest.Fewer(3000)
			for i := range flows {
				asked := queryOf(g.Next(), snapshot)
				asked.FibMatch = i%3 == 0
				line := asked.String()
				q, err := parseLine(line, Env{Names: names})
				require.NoError(t, err, line)
				flow, err := q.Flow(snapshot)
				if err != nil {
					continue // tested elsewhere
				}
				d, route, found := snapshot.FibMatch(flow)
				behind := &route
				if !found {
					behind = nil
				}
				if !found && !q.FibMatch {
					d = snapshot.Resolve(flow)
				}
				if d.Undetermined != 0 {
					continue
				}
				queries = append(queries, line)
				if e := queryErrno(&flow, &d); e != 0 {
					texts, objects = append(texts, Answers(e)+"\n"), append(objects, Answers(e)+"\n")
					continue
				}
				answered++
				r := q.Reply(&flow, &d, behind)
				texts, objects = append(texts, string(text.AppendReply(nil, &r))), append(objects, string(object.AppendReply(nil, &r)))
			}
			assert.Greater(t, answered, flows/6)
			different := 0
			for option, ours := range map[string][]string{"-o": texts, "-j": objects} {
				for i, want := range ipAnswers(t, ns, option, queries) {
					if lifetime(want) != lifetime(ours[i]) {
						t.Errorf("ip %s route get %s\n  %s  and we say\n  %s", option, queries[i], want, ours[i])
						if different++; different == 5 {
							return
						}
					}
				}
			}
		})
	}
}
