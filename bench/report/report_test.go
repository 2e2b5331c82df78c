package report

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/bench/measure"
	"github.com/fibula-net/fibula/bench/results"
)

func sample() *results.Run {
	r := &results.Run{Machine: results.Here(), Settings: results.Settings{Runs: 3}, Tables: []results.Input{{Name: "a<b", Len: 1}}}
	add := func(f results.Figure, runs ...float64) { f.Value = measure.Of(runs); r.Add(f) }
	for i, e := range []string{"trie", "bart", "flat"} {
		x := float64(i + 1)
		for _, family := range []string{"inet", "inet6"} {
			for _, s := range []string{"uniform", "matching"} {
				add(results.Figure{Suite: "lookup", Engine: e, Family: family, Stream: s, Unit: results.NsLookup}, 100*x, 110*x, 130*x)
				add(results.Figure{Suite: "latency", Engine: e, Family: family, Stream: s, Unit: results.NsLookup}, 200*x)
			}
			for _, set := range []string{"none", "miss-10", "miss-1000", "wg-quick"} {
				add(results.Figure{Suite: "rules", Engine: "fib-" + e, RuleSet: set, Family: family, Stream: "matching", Unit: results.NsLookup}, 300*x, 310*x)
			}
			add(results.Figure{Suite: "memory", Engine: e, Family: family, Unit: results.BytesEach}, 20*x)
		}
		for _, n := range []int{1000, 1_000_000} {
			add(results.Figure{Suite: "size", Engine: e, Routes: n, Unit: results.NsLookup}, x*float64(n)/1000)
		}
		for _, load := range []string{"single", "bulk"} {
			add(results.Figure{Suite: "update", Engine: e, Load: load, Unit: results.PerSecond}, 1e5*x)
			add(results.Figure{Suite: "update", Engine: e, Load: load, Unit: results.Percent}, 90/x)
		}
	}
	return r
}

func TestWriteMakesAPageThatNeedsNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "report")
	require.NoError(t, Write(dir, sample()))
	page, err := os.ReadFile(filepath.Join(dir, "index.html"))
	require.NoError(t, err)
	assert.Equal(t, 9, strings.Count(string(page), "<svg"))
	assert.NotContains(t, string(page), "<?xml")
	assert.NotContains(t, string(page), "<script")
	assert.Contains(t, string(page), "a&lt;b")
	// Namespaces are names, not places to load from.
	for _, at := range regexp.MustCompile(`(src|href)="[^"]*"`).FindAllString(string(page), -1) {
		assert.Fail(t, "the page loads something", at)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	require.NoError(t, err)
	assert.Len(t, files, 9)
	for _, f := range files {
		svg, err := os.Open(f)
		require.NoError(t, err)
		words := assertXML(t, svg)
		assert.NotContains(t, words, "NaN", f)
		assert.Contains(t, words, "trie", f)
		require.NoError(t, svg.Close())
	}
	for _, name := range []string{"results.json", "results.txt", "results.bench"} {
		assert.FileExists(t, filepath.Join(dir, name))
	}
}

// assertXML reads a drawing to its end and returns its words and numbers.
func assertXML(t *testing.T, r io.Reader) string {
	t.Helper()
	var words strings.Builder
	for d := xml.NewDecoder(r); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return words.String()
		}
		require.NoError(t, err)
		switch token := token.(type) {
		case xml.CharData:
			words.Write(token)
		case xml.StartElement:
			for _, a := range token.Attr {
				words.WriteString(a.Value)
			}
		}
	}
}

func TestNothingMeasuredNothingDrawn(t *testing.T) {
	plots, err := Plots(&results.Run{})
	require.NoError(t, err)
	assert.Empty(t, plots)
	require.NoError(t, Write(t.TempDir(), &results.Run{}))
}
