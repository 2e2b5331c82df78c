package ksync

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/procnet"
	"github.com/fibula-net/fibula/internal/sysctl"
)

// The functions of this file read the namespace of the calling thread.

const procNet = "/proc/thread-self/net/"

// readIGMP reads the hints of one family's file; a kernel without the family, or
// without multicast, has no such file and gives none.
func readIGMP(file string) ([]byte, error) {
	b, err := os.ReadFile(procNet + file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// addressOrder asks SIOCGIFCONF: the names of the links with an IPv4 address, in
// order of creation.
func addressOrder() ([]string, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	const entry = int(unsafe.Sizeof(unix.Ifreq{}))
	var conf struct {
		length int32
		buf    *byte
	}
	for room := 64 * entry; room < math.MaxInt32/4; room *= 4 {
		buf := make([]byte, room)
		conf.length, conf.buf = int32(room), &buf[0]
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCGIFCONF, uintptr(unsafe.Pointer(&conf))); e != 0 {
			return nil, e
		}
		if int(conf.length) > room-entry {
			continue // there may be more
		}
		var names []string
		for ; int(conf.length) >= entry; conf.length -= int32(entry) {
			label, _, _ := strings.Cut(unix.ByteSliceToString(buf[:unix.IFNAMSIZ]), ":") // d0:1 is an address of d0
			if n := len(names); n == 0 || names[n-1] != label {
				names = append(names, label)
			}
			buf = buf[entry:]
		}
		return names, nil
	}
	return nil, errors.New("SIOCGIFCONF: no end of addresses")
}

// sysctlReader reads numbers below /proc/sys/net; the first failure stays.
type sysctlReader struct{ err error }

// num is 0 for a setting that this kernel does not have.
func (r *sysctlReader) num(file string) int64 {
	b, err := os.ReadFile("/proc/sys/net/" + file)
	if err != nil {
		if r.err == nil && !errors.Is(err, fs.ErrNotExist) {
			r.err = err
		}
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 0, 64)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("/proc/sys/net/%s: %w", file, err)
	}
	return n
}

// readSysctls reads the settings of the namespace that are no link's (F11).
func readSysctls() (s fib.Sysctls, err error) {
	var r sysctlReader
	for _, k := range sysctl.Namespace {
		sysctl.Set(k.At(&s), r.num(strings.ReplaceAll(strings.TrimPrefix(k.Name, "net."), ".", "/")))
	}
	return s, r.err
}

// hasIPv6 reports whether the kernel has IPv6 at all.
func hasIPv6() bool {
	_, err := os.Stat("/proc/sys/net/ipv6")
	return err == nil
}

// kernelVersion is that of the running kernel.
func kernelVersion() (fib.KernelVersion, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fib.KernelVersion{}, fmt.Errorf("uname: %w", err)
	}
	return procnet.ParseRelease(unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Version[:]))
}
