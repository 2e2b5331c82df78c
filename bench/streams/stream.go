package streams

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"

	"github.com/fibula-net/fibula/bench/tables"
	"github.com/fibula-net/fibula/fib"
)

// Full is how many queries a stream of full size has.
const Full = 1 << 22

// A skewed stream: this many flows, the k-th as frequent as 1/k^skew.
const (
	flows = 1 << 16
	skew  = 1.1
)

// The streams that are made; [FromPcap] makes another.
const (
	Uniform  = "uniform"  // anywhere: 2^32 addresses, or all of 2000::/3
	Matching = "matching" // a random address in a random prefix of the table
	Zipf     = "zipf"     // 64k flows of that kind, some far more frequent than others
	Single   = "single"   // one of them, over and over
)

// Names are the streams that are made from a table, in the order of reports.
var Names = []string{Uniform, Matching, Zipf, Single}

// Stream is a sequence of destinations of one family. It is not changed after it
// was made.
type Stream struct {
	Name   string
	Family fib.Family
	V4     []uint32    // of IPv4: the address as a number
	V6     [][2]uint64 // of IPv6: high half, low half
}

// Make makes one of the named streams of n queries for a table. The same arguments
// give the same stream. n is rounded up to a power of two.
func Make(name string, f fib.Family, t *tables.Table, n int, seed uint64) (*Stream, error) {
	prefixes := t.Family(f)
	if len(prefixes) == 0 && name != Uniform {
		return nil, fmt.Errorf("stream %s: the table has no %v prefix", name, f)
	}
	n = roundUp(n)
	r := rand.New(rand.NewPCG(seed, uint64(f)<<32|0x73747265616d))
	inside := func() [2]uint64 { return within(r, prefixes[r.IntN(len(prefixes))]) }
	var next func() [2]uint64
	switch name {
	case Uniform:
		next = func() [2]uint64 { return anywhere(r, f) }
	case Matching:
		next = inside
	case Single:
		one := inside()
		next = func() [2]uint64 { return one }
	case Zipf:
		some := make([][2]uint64, flows)
		for i := range some {
			some[i] = inside()
		}
		z := rand.NewZipf(r, skew, 1, flows-1)
		next = func() [2]uint64 { return some[z.Uint64()] }
	default:
		return nil, fmt.Errorf("stream %q: use uniform, matching, zipf, single or a pcap file", name)
	}
	return fill(name, f, n, next), nil
}

func fill(name string, f fib.Family, n int, next func() [2]uint64) *Stream {
	s := &Stream{Name: name, Family: f}
	if f == fib.Inet {
		s.V4 = make([]uint32, n)
		for i := range s.V4 {
			s.V4[i] = uint32(next()[1])
		}
		return s
	}
	s.V6 = make([][2]uint64, n)
	for i := range s.V6 {
		s.V6[i] = next()
	}
	return s
}

func roundUp(n int) int {
	up := 1
	for up < n {
		up *= 2
	}
	return up
}

func anywhere(r *rand.Rand, f fib.Family) [2]uint64 {
	if f == fib.Inet {
		return [2]uint64{0, uint64(r.Uint32())}
	}
	return [2]uint64{1<<61 | r.Uint64()>>3, r.Uint64()}
}

// within is a random address inside p.
func within(r *rand.Rand, p netip.Prefix) [2]uint64 {
	a, free := pack(p.Addr()), p.Addr().BitLen()-p.Bits()
	if free >= 64 {
		a[1] |= r.Uint64()
		free -= 64
		if free > 0 {
			a[0] |= r.Uint64() >> (64 - free)
		}
	} else if free > 0 {
		a[1] |= r.Uint64() >> (64 - free)
	}
	return a
}

func pack(a netip.Addr) [2]uint64 {
	if a.Is4() {
		b := a.As4()
		return [2]uint64{0, uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return [2]uint64{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// Len is the number of queries, a power of two.
func (s *Stream) Len() int { return len(s.V4) + len(s.V6) }

// Addr is query i as engines for general use take it.
func (s *Stream) Addr(i int) netip.Addr {
	if s.Family == fib.Inet {
		return Addr4(s.V4[i])
	}
	return Addr6(s.V6[i])
}

// Addr4 unpacks an IPv4 address.
func Addr4(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

// Addr6 unpacks an IPv6 address.
func Addr6(a [2]uint64) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a[0])
	binary.BigEndian.PutUint64(b[8:], a[1])
	return netip.AddrFrom16(b)
}

// First is the stream cut to n queries, rounded down to a power of two.
func (s *Stream) First(n int) *Stream {
	if n >= s.Len() {
		return s
	}
	n = roundUp(n+1) / 2
	c := *s
	if s.Family == fib.Inet {
		c.V4 = s.V4[:n]
	} else {
		c.V6 = s.V6[:n]
	}
	return &c
}

// Checksum is [Sum] over the queries' 32-bit words, as WriteFile stores them.
func (s *Stream) Checksum() uint64 {
	h := Seed
	for _, a := range s.V4 {
		h = Sum(h, a)
	}
	for _, a := range s.V6 {
		for _, half := range a {
			h = Sum(Sum(h, uint32(half>>32)), uint32(half))
		}
	}
	return h
}

// Seed is the checksum of nothing.
const Seed = uint64(0xcbf29ce484222325)

// Sum adds a word to a checksum: FNV-1a by words, simple enough for any language.
// Order matters to it.
func Sum(h uint64, word uint32) uint64 { return (h ^ uint64(word)) * 0x100000001b3 }

// WriteFile stores the queries, nothing else: 32-bit words in the machine's order,
// one for an IPv4 address and four, the highest first, for an IPv6 one.
func (s *Stream) WriteFile(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	if err := s.write(w); err != nil {
		f.Close()
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := w.Flush(); err != nil {
		f.Close()
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.Close()
}

func (s *Stream) write(w io.Writer) error {
	var b []byte
	emit := func(words ...uint32) error {
		b = b[:0]
		for _, word := range words {
			b = binary.NativeEndian.AppendUint32(b, word)
		}
		_, err := w.Write(b)
		return err
	}
	for _, a := range s.V4 {
		if err := emit(a); err != nil {
			return err
		}
	}
	for _, a := range s.V6 {
		if err := emit(uint32(a[0]>>32), uint32(a[0]), uint32(a[1]>>32), uint32(a[1])); err != nil {
			return err
		}
	}
	return nil
}
