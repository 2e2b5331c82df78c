package ksync

import "github.com/fibula-net/fibula/fib"

// rtKernel is what a source needs of FreeBSD: system calls, or in tests a kernel of their
// own, which runs anywhere.
type rtKernel interface {
	fibs() (int, error)
	families() []fib.Family
	links() ([]byte, error)                        // an answer to NET_RT_IFLIST
	routes(f fib.Family, n uint16) ([]byte, error) // an answer to NET_RT_DUMP: one FIB at one moment
	sysctls(*fib.Sysctls) error
	// drops counts the messages that were lost before they came to any socket.
	drops() (uint64, error)
	now() int64 // seconds since 1970
	pid() int
	// listen opens a socket for each FIB, in that order: none hears of other FIBs.
	listen(fibs []uint16, buffer int) (rtSockets, error)
}

// rtSockets are routing sockets. wait and wake may be called beside all others.
type rtSockets interface {
	wait() error                       // until a message waits, or for net.ErrClosed until wake
	read(i int, b []byte) (int, error) // one message, 0: there is none; errLost: some were dropped
	// ask makes socket i hear an answer with number seq, after all that happened before.
	ask(i int, seq uint32) error
	wake()
	close()
}
