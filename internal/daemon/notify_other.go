//go:build !linux

package daemon

import "time"

func monotonic() time.Duration { return 0 } // there is no such service manager
