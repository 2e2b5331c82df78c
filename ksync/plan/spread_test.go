package plan

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSpreadOutIsAPermutation(t *testing.T) {
	for of := range 80 {
		seen := make([]bool, of)
		for n := range of {
			i := spread(n, of, 16)
			assert.False(t, seen[i], "%d of %d", n, of)
			seen[i] = true
		}
	}
	assert.Equal(t, []int{0, 16, 1, 17, 2, 3}, []int{spread(0, 18, 16), spread(1, 18, 16), spread(2, 18, 16), spread(3, 18, 16), spread(4, 18, 16), spread(5, 18, 16)})
}
