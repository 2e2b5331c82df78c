package linear_test

import (
	"testing"

	"github.com/fibula-net/fibula/lookup/linear"
	"github.com/fibula-net/fibula/lookup/lookuptest"
)

func TestEngine(t *testing.T) { lookuptest.TestEngine(t, linear.Engine{}) }

func FuzzEngine(f *testing.F) { lookuptest.Fuzz(f, linear.Engine{}) }
