// Package lookuptest holds what the engines of package lookup are tested and measured
// with. A new engine is four lines in a test file:
//
//	func TestEngine(t *testing.T)      { lookuptest.TestEngine(t, Engine{}) }
//	func FuzzEngine(f *testing.F)      { lookuptest.Fuzz(f, Engine{}) }
//	func BenchmarkLookup(b *testing.B) { lookuptest.BenchLookup(b, Engine{}) }
//	func BenchmarkEdit(b *testing.B)   { lookuptest.BenchEdit(b, Engine{}) }
//
// Start with [TestEngine]. The properties compare an engine with package linear over
// random sequences of operations; universe.go says where those take their prefixes from.
// The address streams ([Uniform], [Matching]) also serve benchmarks elsewhere.
//
// Random tests print the seed of a failure and accept it back in TEST_SEED.
package lookuptest
