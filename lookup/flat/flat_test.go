package flat_test

import (
	"flag"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/internal/randtest"
	"github.com/fibula-net/fibula/lookup/flat"
	"github.com/fibula-net/fibula/lookup/lookuptest"
)

func TestEngine(t *testing.T) { lookuptest.TestEngine(t, flat.Engine{}) }

// TestEngineWithArrays gives the arrays to every table. Each costs 32 MiB to clear: a
// quarter of the usual checks must do, and under the race detector two.
func TestEngineWithArrays(t *testing.T) {
	checks := flag.Lookup("rapid.checks")
	was := checks.Value.String()
	require.NoError(t, checks.Value.Set(strconv.Itoa(randtest.Fewer(25))))
	defer func() { require.NoError(t, checks.Value.Set(was)) }()
	for _, e := range flat.Variants() {
		e.Direct4, e.Direct6 = 1, 1
		if randtest.Fewer(10) < 10 {
			e.Direct4 = 0 // TestVersionsStayWhatTheyAre has them under the race detector, which takes seconds for each
		}
		t.Run(e.Name(), func(t *testing.T) { lookuptest.TestEngine(t, e) })
	}
}

// TestEngineWithLists gives every table of two prefixes a list for each /8.
func TestEngineWithLists(t *testing.T) { lookuptest.TestEngine(t, flat.Engine{Ranges: 1}) }

func FuzzEngineWithLists(f *testing.F) { lookuptest.Fuzz(f, flat.Engine{Ranges: 1}) }

func FuzzEngine(f *testing.F) { lookuptest.Fuzz(f, flat.Engine{}) }

func FuzzEngineWithArrays(f *testing.F) { lookuptest.Fuzz(f, flat.Engine{Direct4: 1, Direct6: 1}) }

func BenchmarkLookup(b *testing.B) { lookuptest.BenchLookup(b, flat.Engine{}) }

func BenchmarkEdit(b *testing.B) { lookuptest.BenchEdit(b, flat.Engine{}) }
