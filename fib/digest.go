package fib

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
)

// TableDigest says in 128 bits what the routes of one table are, as a dump shows them:
// equal tables have equal digests, on any machine, whatever their history.
type TableDigest struct {
	Family Family
	Table  TableID
	Routes int
	Sum    Digest
}

// Digest is a sum over prefixes that does not depend on their order. It tells accidents
// apart, not what an attacker makes up.
type Digest [2]uint64

// String is the digest in hexadecimal digits.
func (d Digest) String() string { return fmt.Sprintf("%016x%016x", d[1], d[0]) }

// Digest goes over all routes, at some tens of nanoseconds each.
func (s *Snapshot) Digest() []TableDigest {
	var out []TableDigest
	leaves := make([]leafDigest, len(s.leaves)*leafPageSize)
	for _, k := range s.sortedTables() {
		d := TableDigest{Family: k.fam, Table: k.id}
		for p, i := range s.tables[k].version().All() {
			h := &leaves[i]
			if h.routes == 0 {
				*h = s.leafDigest(s.leaves.at(i))
			}
			d.Routes += h.routes
			d.Sum.add(p, h)
		}
		if d.Routes > 0 {
			out = append(out, d)
		}
	}
	return out
}

// DigestAt says what the routes of one prefix are, as a dump shows them.
func (s *Snapshot) DigestAt(id TableID, dst netip.Prefix) (d Digest) {
	f := Inet6
	if dst.Addr().Is4() {
		f = Inet
	}
	if l := s.leafAt(s.table(f, id), dst); l != nil {
		h := s.leafDigest(l)
		d.add(dst, &h)
	}
	return d
}

type leafDigest struct {
	sum    [2]uint64
	routes int
}

func (s *Snapshot) leafDigest(l *leaf) leafDigest {
	h := sha256.Sum256(s.appendLeaf(nil, l))
	le := binary.LittleEndian
	d := leafDigest{sum: [2]uint64{le.Uint64(h[:]), le.Uint64(h[8:])}}
	d.routes = l.shownRoutes()
	return d
}

// add adds a prefix with what is under it.
func (d *Digest) add(p netip.Prefix, l *leafDigest) {
	b := p.Addr().As16()
	le := binary.LittleEndian
	x, y := le.Uint64(b[:])^uint64(p.Bits())<<56, le.Uint64(b[8:])
	lo := mix(x^l.sum[0], y^l.sum[1]^0x9e3779b97f4a7c15)
	hi := mix(y^l.sum[0]^0xd1b54a32d192ed03, x^lo^l.sum[1])
	var carry uint64
	d[0], carry = bits.Add64(d[0], lo, 0)
	d[1], _ = bits.Add64(d[1], hi, carry)
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0xa0761d6478bd642f, b^0xe7037ed1a0b428db)
	return hi ^ lo
}
