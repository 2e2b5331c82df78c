package trie_test

import (
	"testing"

	"github.com/fibula-net/fibula/lookup/lookuptest"
	"github.com/fibula-net/fibula/lookup/trie"
)

func TestEngine(t *testing.T) { lookuptest.TestEngine(t, trie.Engine{}) }

func FuzzEngine(f *testing.F) { lookuptest.Fuzz(f, trie.Engine{}) }

func BenchmarkLookup(b *testing.B) { lookuptest.BenchLookup(b, trie.Engine{}) }

func BenchmarkEdit(b *testing.B) { lookuptest.BenchEdit(b, trie.Engine{}) }
