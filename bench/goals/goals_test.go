package goals

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/bench/engines"
	"github.com/fibula-net/fibula/bench/measure"
	"github.com/fibula-net/fibula/bench/results"
)

func TestNothingIsInvented(t *testing.T) {
	rows, sync := Rows(&results.Run{}), Sync(&results.Run{})
	require.Len(t, rows, 25)
	require.Len(t, sync, 17)
	names := map[string]bool{}
	for _, r := range append(rows, sync...) {
		assert.Nil(t, r.Measured, r.Name)
		assert.Nil(t, r.Holds, r.Name)
		assert.NotEmpty(t, r.Why, r.Name)
		assert.True(t, r.Target > 0 || r.AtMost && r.Unit == "routes" || r.Unit == "times", r.Name)
		assert.NotEmpty(t, r.Unit)
		assert.False(t, names[r.Name], "%s twice", r.Name)
		names[r.Name] = true
	}
}

func TestGoalsAreForTheRealTable(t *testing.T) {
	r := figures()
	r.Tables = []results.Input{{Name: "synthetic:10,10"}}
	for _, row := range Rows(r) {
		assert.Nil(t, row.Measured)
		assert.Contains(t, row.Why, "synthetic")
	}
	r.Tables[0].Name = "real"
	assert.NotEqual(t, Rows(&results.Run{}), Rows(r))
}

func figures() *results.Run {
	r := &results.Run{}
	fib := "fib-" + engines.Default().Name
	add := func(suite, engine, set, stream, family, unit string, runs ...float64) {
		r.Add(results.Figure{Suite: suite, Engine: engine, RuleSet: set, Stream: stream, Family: family, Unit: unit, Value: measure.Of(runs)})
	}
	add("lookup", "flat", "", "matching", "inet", results.NsLookup, 5, 10)
	add("lookup", "bart-fast", "", "matching", "inet", results.NsLookup, 100, 160)
	add("rules", fib, "miss-10", "matching", "inet", results.NsLookup, 30, 30)
	add("rules", fib, "miss-10000", "matching", "inet", results.NsLookup, 90, 60)
	add("build", "flat", "", "", "inet", results.Seconds, 0.2)
	return r
}

func byName(rows []Row, name string) Row {
	for _, r := range rows {
		if r.Name == name {
			return r
		}
	}
	return Row{}
}

func TestRatiosAreTakenRunByRun(t *testing.T) {
	rows := Rows(figures())
	bart := byName(rows, "IPv4 scalar / bart Fast, matching")
	require.NotNil(t, bart.Measured)
	assert.Equal(t, []float64{20, 16}, bart.Spread.Runs)
	assert.Equal(t, 18.0, *bart.Measured)
	assert.True(t, *bart.Holds)
	many := byName(rows, "Resolve with 10,000 rules / with 10")
	assert.Equal(t, 2.5, *many.Measured)
	assert.False(t, *many.Holds, "a limit")
	assert.True(t, *byName(rows, "build of the IPv4 table from sorted routes").Holds)
	assert.Nil(t, byName(rows, "Resolve with 10 rules / bare lookup").Measured)
}

// Programs read the file: its keys do not change.
func TestSchema(t *testing.T) {
	var b bytes.Buffer
	rows := Rows(figures())
	require.NoError(t, WriteJSON(&b, rows))
	var raw []map[string]any
	require.NoError(t, json.Unmarshal(b.Bytes(), &raw))
	for _, row := range raw {
		for _, key := range []string{"name", "unit", "target", "measured", "spread", "holds", "at_most"} {
			assert.Contains(t, row, key)
		}
	}
	back, err := ReadJSON(&b)
	require.NoError(t, err)
	assert.Equal(t, rows, back)
	_, err = ReadJSON(strings.NewReader(`[{"colour":1}]`))
	assert.Error(t, err)
	var text strings.Builder
	require.NoError(t, WriteText(&text, rows))
	assert.Contains(t, text.String(), "not measured: no")
	assert.Contains(t, text.String(), "NO")
}

func TestMergeFillsInWhatWasNotMeasured(t *testing.T) {
	empty, full := Rows(&results.Run{}), Rows(figures())
	for i, r := range Merge(empty, full) {
		assert.Equal(t, full[i].Measured, r.Measured, r.Name)
	}
	assert.Equal(t, full, Merge(full, empty))
}
