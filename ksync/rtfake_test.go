package ksync

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtsock"
)

// rtMessages are the messages of a file of package rtsock, by their comments.
func rtMessages(t testing.TB, name string) (names []string, msgs map[string][]byte) {
	t.Helper()
	f, err := os.Open("../internal/rtsock/testdata/" + name + ".hex")
	require.NoError(t, err)
	defer f.Close()
	msgs = map[string][]byte{}
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, ok := strings.CutPrefix(s.Text(), "# "); ok {
			names = append(names, name)
			continue
		}
		b, err := hex.DecodeString(s.Text())
		require.NoError(t, err)
		msgs[names[len(names)-1]] = append(msgs[names[len(names)-1]], b...)
	}
	return names, msgs
}

func rtAll(t testing.TB, name string) (out [][]byte) {
	names, msgs := rtMessages(t, name)
	for _, n := range names {
		out = append(out, msgs[n])
	}
	return out
}

// fakeBSD is a kernel that answers with recorded messages, and whose sockets hold few.
type fakeBSD struct {
	mu      sync.Mutex
	list    [][]byte // links and addresses
	fib     [][][]byte
	fib6    [][][]byte
	dropped uint64
	socks   []*fakeSockets
	during  func() // called once, by the next dump, without the lock
	forward bool
}

func newFakeBSD(t testing.TB) *fakeBSD {
	return &fakeBSD{list: rtAll(t, "links"), fib: [][][]byte{rtAll(t, "routes4"), nil}, fib6: [][][]byte{rtAll(t, "routes6"), nil}}
}

func (k *fakeBSD) fibs() (int, error) { k.mu.Lock(); defer k.mu.Unlock(); return len(k.fib), nil }
func (k *fakeBSD) families() []fib.Family {
	return []fib.Family{fib.Inet, fib.Inet6}
}
func (k *fakeBSD) now() int64             { return 1700000000 }
func (k *fakeBSD) pid() int               { return 4711 }
func (k *fakeBSD) drops() (uint64, error) { k.mu.Lock(); defer k.mu.Unlock(); return k.dropped, nil }
func (k *fakeBSD) links() ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Concat(k.list...), nil
}

func (k *fakeBSD) routes(f fib.Family, n uint16) ([]byte, error) {
	k.mu.Lock()
	tables := k.fib
	if f == fib.Inet6 {
		tables = k.fib6
	}
	b := slices.Concat(tables[n]...)
	during := k.during
	k.during = nil
	k.mu.Unlock()
	if during != nil {
		during()
	}
	return b, nil
}

func (k *fakeBSD) sysctls(s *fib.Sysctls) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	s.All4.Forwarding, s.Default4.Forwarding = k.forward, k.forward
	return nil
}

// change does something and announces it to the sockets of one FIB, or with -1 of all.
func (k *fakeBSD) change(n int, announce []byte, do func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	do()
	if announce != nil {
		k.announce(n, announce)
	}
}

// announce is called under the lock.
func (k *fakeBSD) announce(n int, b []byte) {
	for _, s := range k.socks {
		for i, of := range s.fibs {
			if n < 0 || n == int(of) {
				s.put(i, b)
			}
		}
	}
}

// fakeRoom is how many messages a socket of the fake holds.
const fakeRoom = 8

type fakeSockets struct {
	k     *fakeBSD
	fibs  []uint16
	queue [][][]byte
	over  []bool
	news  *sync.Cond // on k.mu
	woken bool
	mute  bool // answers nothing
}

func (k *fakeBSD) listen(fibs []uint16, _ int) (rtSockets, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := &fakeSockets{k: k, fibs: fibs, queue: make([][][]byte, len(fibs)), over: make([]bool, len(fibs)), news: sync.NewCond(&k.mu)}
	k.socks = append(k.socks, s)
	return s, nil
}

func (s *fakeSockets) put(i int, b []byte) {
	if len(s.queue[i]) < fakeRoom {
		s.queue[i] = append(s.queue[i], b)
	} else {
		s.over[i] = true
	}
	s.news.Broadcast()
}

func (s *fakeSockets) wait() error {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	for !s.woken && !slices.Contains(s.over, true) && !slices.ContainsFunc(s.queue, func(q [][]byte) bool { return len(q) > 0 }) {
		s.news.Wait()
	}
	if s.woken {
		return net.ErrClosed
	}
	return nil
}

func (s *fakeSockets) read(i int, b []byte) (int, error) {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	if s.over[i] { // as SO_RERROR: before the messages that there was room for
		s.over[i] = false
		return 0, errLost
	}
	if len(s.queue[i]) == 0 {
		return 0, nil
	}
	n := copy(b, s.queue[i][0])
	s.queue[i] = s.queue[i][1:]
	return n, nil
}

func (s *fakeSockets) ask(i int, seq uint32) error {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	m := make([]byte, 152)
	m[0], m[2], m[3] = 152, 5, rtsock.RTM_GET
	binary.LittleEndian.PutUint32(m[16:], 4711)
	binary.LittleEndian.PutUint32(m[20:], seq)
	if !s.mute {
		s.put(i, m)
	}
	return nil
}

func (s *fakeSockets) wake() {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	s.woken = true
	s.news.Broadcast()
}

func (s *fakeSockets) close() {
	s.k.mu.Lock()
	defer s.k.mu.Unlock()
	s.k.socks = slices.DeleteFunc(s.k.socks, func(x *fakeSockets) bool { return x == s })
}
