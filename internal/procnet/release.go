package procnet

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/fibula-net/fibula/fib"
)

// ParseRelease reads a kernel's release (uname -r), such as "6.18.44-custom",
// "6.18-rc1" or "6.1". It needs major and minor number; what follows the numbers is
// the distribution's business.
func ParseRelease(s string) (v fib.KernelVersion, err error) {
	rest := s
	for i, to := range [...]*int{&v.Major, &v.Minor, &v.Patch} {
		digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
		n, err := strconv.ParseUint(digits, 10, 31)
		if err != nil {
			if i == 2 {
				break // 6.18.y
			}
			return fib.KernelVersion{}, fmt.Errorf("kernel %.80q: expected a release such as 6.18.44", s)
		}
		*to = int(n)
		var more bool
		if rest, more = strings.CutPrefix(rest[len(digits):], "."); !more {
			rest = "" // without a dot the numbers end
		}
	}
	return v, nil
}
