package plan

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSpreadOutIsAPermutation(t *testing.T) {
	for of := range 5 * spread {
		seen := make([]bool, of)
		for n := range of {
			i := spreadOut(n, of)
			assert.False(t, seen[i], "%d of %d", n, of)
			seen[i] = true
		}
	}
	assert.Equal(t, []int{0, 64, 1, 65, 2, 3}, []int{spreadOut(0, 66), spreadOut(1, 66), spreadOut(2, 66), spreadOut(3, 66), spreadOut(4, 66), spreadOut(5, 66)})
}
