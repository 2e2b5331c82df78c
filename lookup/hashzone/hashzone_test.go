package hashzone_test

import (
	"testing"

	"github.com/fibula-net/fibula/lookup/hashzone"
	"github.com/fibula-net/fibula/lookup/lookuptest"
)

func TestEngine(t *testing.T) { lookuptest.TestEngine(t, hashzone.Engine{}) }

func FuzzEngine(f *testing.F) { lookuptest.Fuzz(f, hashzone.Engine{}) }

func BenchmarkLookup(b *testing.B) { lookuptest.BenchLookup(b, hashzone.Engine{}) }

func BenchmarkEdit(b *testing.B) { lookuptest.BenchEdit(b, hashzone.Engine{}) }
