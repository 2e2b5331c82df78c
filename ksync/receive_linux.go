package ksync

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// receiver reads several datagrams with one system call, each into a buffer of its own.
type receiver struct {
	bufs  [][]byte
	iovs  []unix.Iovec
	froms []unix.RawSockaddrNetlink
	heads []mmsghdr
	n     int // how many were read
}

func newReceiver(n int) *receiver {
	r := &receiver{bufs: make([][]byte, n), iovs: make([]unix.Iovec, n), froms: make([]unix.RawSockaddrNetlink, n), heads: make([]mmsghdr, n)}
	all := make([]byte, n*dumped)
	for i := range r.bufs {
		r.bufs[i] = all[i*dumped : (i+1)*dumped : (i+1)*dumped]
		r.iovs[i].Base = &r.bufs[i][0]
		r.iovs[i].SetLen(dumped)
		r.heads[i].hdr.Iov = &r.iovs[i]
		r.heads[i].hdr.SetIovlen(1)
		r.heads[i].hdr.Name = (*byte)(unsafe.Pointer(&r.froms[i]))
	}
	return r
}

// receive waits for a datagram, and reads those that are there with it. After an error none is valid. One
// that comes after others is told by the next call.
func (r *receiver) receive(fd int) error {
	r.n = 0
	for i := range r.heads {
		r.heads[i].hdr.Namelen = unix.SizeofSockaddrNetlink
	}
	for {
		n, _, e := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&r.heads[0])), uintptr(len(r.heads)),
			unix.MSG_TRUNC|unix.MSG_WAITFORONE, 0, 0)
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			return receiveError(e)
		}
		for i := range int(n) {
			if size := int(r.heads[i].len); size > dumped && r.froms[i].Pid == 0 {
				return fmt.Errorf("a datagram of %d bytes does not fit into %d", size, dumped)
			}
		}
		r.n = int(n)
		return nil
	}
}

// datagram is what was read as number i, nothing if it is not from the kernel.
func (r *receiver) datagram(i int) []byte {
	if r.froms[i].Pid != 0 {
		return nil
	}
	return r.bufs[i][:r.heads[i].len]
}

// last is the last datagram from the kernel, nothing if there is none.
func (r *receiver) last() []byte {
	for i := r.n - 1; i >= 0; i-- {
		if r.froms[i].Pid == 0 {
			return r.datagram(i)
		}
	}
	return nil
}
