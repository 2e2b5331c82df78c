// Package randtest gives random tests their seed, printed and taken from TEST_SEED
// ([Seed], [Rand]), and their size, smaller under the race detector ([Fewer]).
package randtest
