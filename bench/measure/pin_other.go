//go:build !linux

package measure

import (
	"errors"
	"time"
)

// Pin cannot pin here.
func Pin(int) (on int, undo func(), err error) {
	return 0, nil, errors.ErrUnsupported
}

var start = time.Now()

// CPU is the clock's time, since threads cannot be told apart here.
func CPU() time.Duration { return time.Since(start) }

// CPUTime says whether CPU is processor time, or else the clock's.
const CPUTime = false
