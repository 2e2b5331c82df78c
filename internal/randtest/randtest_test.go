package randtest

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
)

// recorder is a testing.TB that remembers what it was told.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Logf(string, ...any)   {}
func (r *recorder) Fatalf(string, ...any) { r.failed = true; runtime.Goexit() }

func TestSeedIsTaken(t *testing.T) {
	for text, want := range map[string]uint64{"7": 7, "0x10": 16, "18446744073709551615": 1<<64 - 1} {
		t.Setenv("TEST_SEED", text)
		assert.Equal(t, want, Seed(t), text)
		assert.Equal(t, Rand(t).Uint64(), Rand(t).Uint64())
	}
	for _, text := range []string{"-1", "x", "1.5"} {
		t.Setenv("TEST_SEED", text)
		var r recorder
		done := make(chan struct{})
		go func() {
			defer close(done)
			Seed(&r)
		}()
		<-done
		assert.True(t, r.failed, text)
	}
	t.Setenv("TEST_SEED", "")
	assert.NotEqual(t, Seed(t), Seed(t))
}

func TestFewerIsNeverNone(t *testing.T) {
	for n := 1; n < 30; n++ {
		assert.GreaterOrEqual(t, Fewer(n), 1)
		assert.LessOrEqual(t, Fewer(n), n)
	}
}
