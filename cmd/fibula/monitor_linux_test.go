package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/netnstest"
)

// monitoring runs "fibula monitor" until the test ends, and gives its lines.
func monitoring(t *testing.T, args ...string) (next func() string, stop func() int) {
	t.Helper()
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	errs := &lockedBuffer{}
	go func() {
		code := run(ctx, append([]string{"monitor"}, args...), strings.NewReader(""), w, errs)
		w.Close()
		ended <- code
	}()
	t.Cleanup(func() { cancel(); r.Close() })
	lines := bufio.NewReader(r)
	next = func() string {
		t.Helper()
		line, err := lines.ReadString('\n')
		require.NoError(t, err, errs)
		return line
	}
	stop = func() int {
		cancel()
		_, _ = io.Copy(io.Discard, lines)
		return <-ended
	}
	return next, stop
}

type monitorLine struct {
	Event             string
	Generation, Since uint64
	Table, Dst        string
	Before, After     json.RawMessage
	Witness           *struct {
		Flow          string
		Before, After map[string]any
	}
	Changes int
}

// transaction reads lines until a transaction ends, of those that an event of this kind is in.
func transaction(t *testing.T, next func() string, event string) (lines []monitorLine) {
	t.Helper()
	for {
		var l monitorLine
		require.NoError(t, json.Unmarshal([]byte(next()), &l))
		if l.Event != "commit" {
			lines = append(lines, l)
			continue
		}
		for _, x := range lines {
			if x.Event == event {
				assert.Len(t, lines, l.Changes)
				return lines
			}
		}
		lines = nil
	}
}

func TestMonitorTellsBeforeAfterAndWitness(t *testing.T) {
	for name, live := range map[string]bool{"live": true, "socket": false} {
		t.Run(name, func(t *testing.T) {
			ns := configured(t)
			args := []string{"-j", "-n", ns.Name()}
			if !live {
				socket, _, _ := mirrorService(t, ns)
				args = []string{"-j", "--socket", socket}
			}
			next, stop := monitoring(t, args...)
			var start monitorLine
			require.NoError(t, json.Unmarshal([]byte(next()), &start))
			assert.Equal(t, "start", start.Event)

			ns.IP("route replace 10.9.0.0/16 via 10.0.0.4 metric 7")
			lines := transaction(t, next, "route")
			require.Len(t, lines, 1)
			l := lines[0]
			assert.Equal(t, "main 10.9.0.0/16", l.Table+" "+l.Dst)
			assert.Less(t, l.Since, l.Generation)
			assert.Contains(t, string(l.Before), `"gateway":"10.0.0.3"`)
			assert.Contains(t, string(l.After), `"gateway":"10.0.0.4"`)
			require.NotNil(t, l.Witness)
			assert.Equal(t, "10.9.0.1", l.Witness.Flow)
			assert.Equal(t, "10.0.0.3", l.Witness.Before["gateway"])
			assert.Equal(t, "10.0.0.4", l.Witness.After["gateway"])

			ns.IP("route add unreachable 10.66.0.0/16 table 100")
			lines = transaction(t, next, "route")
			require.NotNil(t, lines[0].Witness, "only marked flows are led to table 100")
			assert.Equal(t, "10.66.0.1 mark 0x7", lines[0].Witness.Flow)
			assert.Equal(t, "10.0.0.4", lines[0].Witness.Before["gateway"])
			assert.Equal(t, "EHOSTUNREACH", lines[0].Witness.After["error"])

			ns.IP("rule del pref 100")
			lines = transaction(t, next, "rule")
			assert.Contains(t, string(lines[0].Before), `"fwmark":"0x7"`)
			assert.Nil(t, lines[0].After)
			require.NotNil(t, lines[0].Witness)
			assert.Contains(t, lines[0].Witness.Flow, " mark 0x7")

			ns.IP("nexthop replace id 7 via 10.0.0.11 dev lan0")
			lines = transaction(t, next, "nexthop")
			assert.Contains(t, string(lines[0].Before), "10.0.0.9")
			assert.Contains(t, string(lines[0].After), "10.0.0.11")
			assert.Equal(t, "10.4.0.0/16", lines[1].Dst, "the route behind it goes elsewhere, although it is the same")
			require.NotNil(t, lines[1].Witness)

			ns.IP("link set lan0 down")
			events := map[string]int{}
			for _, l := range transaction(t, next, "link") {
				events[l.Event]++
			}
			assert.Greater(t, events["route"], 5, "what the kernel removes without a word")
			assert.Zero(t, stop())
		})
	}
}

func TestMonitorWritesAsIP(t *testing.T) {
	ns := configured(t)
	next, stop := monitoring(t, "-ts", "-n", ns.Name())
	// Until it follows, nothing is shown.
	shown := make(chan string)
	go func() { shown <- next() }()
	var first string
	for first == "" {
		ns.IP("addr replace 10.77.0.1/24 dev lo")
		ns.IP("addr del 10.77.0.1/24 dev lo")
		select {
		case first = <-shown:
		default:
		}
	}
	stamp := `(?m)^\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\] `
	assert.Regexp(t, stamp+`\[ADDR\](Deleted )?1: lo    inet 10\.77\.0\.1/24 scope global lo$`, first)
	var text string
	until := func(what string) { // with the lines of its witness
		for !strings.Contains(text, what) {
			text += next()
		}
		for range 3 {
			text += next()
		}
	}
	ns.IP("route add 10.99.0.0/16 via 10.0.0.5")
	until("[ROUTE]10.99.")
	ns.IP("route del 10.99.0.0/16")
	until("[ROUTE]Deleted 10.99.")
	assert.Regexp(t, stamp+`\[ROUTE\]10\.99\.0\.0/16 via 10\.0\.0\.5 dev lan0 $`, text)
	assert.Regexp(t, stamp+`\[ROUTE\]Deleted 10\.99\.0\.0/16 via 10\.0\.0\.5 dev lan0 $`, text)
	assert.Contains(t, text, "    witness 10.99.0.1\n        before: 10.99.0.1 via 10.0.0.5 dev lan0 src 10.0.0.1 uid 0\n        after:  10.99.0.1 via 10.0.0.2 dev lan0 src 10.0.0.1 uid 0\n")
	assert.Zero(t, stop())
}

// TestStalledMonitorHoldsNobodyUp: a client that does not read its lines, while changes and
// questions go on, and is dropped or told what it lost.
func TestStalledMonitorHoldsNobodyUp(t *testing.T) {
	ns := netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
	socket, _, stop := mirrorService(t, ns)
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		code := run(ctx, []string{"monitor", "-j", "--socket", socket}, strings.NewReader(""), w, io.Discard)
		w.Close()
		ended <- code
	}()
	lines := bufio.NewReaderSize(r, 16)
	_, err := lines.ReadString('\n')
	require.NoError(t, err)
	var batch []string
	for i := range 200 {
		for j := range 20 {
			batch = append(batch, "route add blackhole 10."+strconv.Itoa(i)+"."+strconv.Itoa(j)+".0/24")
		}
	}
	ns.Batch(batch...)
	var asked result
	for asked.code != 2 { // until the last of them is known
		asked = fibula(t, "", "get", "--socket", socket, "10.199.19.1")
		require.Contains(t, []int{0, 2}, asked.code, asked.stderr)
		if !strings.Contains(asked.stderr, "Invalid argument") {
			asked.code = 0
		}
	}
	routes := 0
	for routes < len(batch) {
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		if strings.Contains(line, `"event":"route"`) {
			routes++
		}
	}
	cancel()
	_, _ = io.Copy(io.Discard, r)
	assert.Zero(t, <-ended)
	assert.Zero(t, stop())
}
