package procnet

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/fibula-net/fibula/fib"
)

// ParseRelease reads a kernel's release (uname -r), such as "6.18.44-custom",
// "6.18-rc1" or "6.1". It needs major and minor number; what follows the numbers is
// the distribution's business. The version (uname -v) may follow: Debian's has the
// patch number that its release hides, "6.1.0-56-cloud-amd64 #1 SMP Debian 6.1.192-2".
func ParseRelease(s string) (fib.KernelVersion, error) {
	release, version, _ := strings.Cut(strings.TrimSpace(s), " ")
	v, err := parseNumbers(release)
	if err != nil {
		return v, fmt.Errorf("kernel %.80q: expected a release such as 6.18.44", s)
	}
	for word := range strings.FieldsSeq(version) {
		if w, err := parseNumbers(word); err == nil && w.Major == v.Major && w.Minor == v.Minor {
			v.Patch = max(v.Patch, w.Patch)
		}
	}
	return v, nil
}

// parseNumbers reads the numbers that s begins with: two, or three.
func parseNumbers(s string) (v fib.KernelVersion, err error) {
	rest := s
	for i, to := range [...]*int{&v.Major, &v.Minor, &v.Patch} {
		digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
		n, err := strconv.ParseUint(digits, 10, 31)
		if err != nil {
			if i == 2 {
				break // 6.18.y
			}
			return fib.KernelVersion{}, err
		}
		*to = int(n)
		var more bool
		if rest, more = strings.CutPrefix(rest[len(digits):], "."); !more {
			rest = "" // without a dot the numbers end
		}
	}
	return v, nil
}
