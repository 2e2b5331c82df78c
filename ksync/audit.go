package ksync

import (
	"context"
	"time"

	"github.com/fibula-net/fibula/fib"
)

// Certificate is what came of comparing everything with the kernel.
type Certificate struct {
	Generation uint64    // of the FIB that was found equal, or made so
	Time       time.Time // when the comparison ended
	Took       time.Duration
	// How many of each were compared.
	Routes, Rules, Nexthops, Links, Addresses int
	// Differing is how many prefixes and other objects were not as the kernel has them.
	Differing   int
	Differences []fib.Difference   // the first of them that are routes
	Objects     []ObjectDifference // the first of the others
	Tables      []fib.TableDigest
}

// Equal reports whether nothing differed.
func (c *Certificate) Equal() bool { return c.Differing == 0 }

// maxDifferences bounds what a certificate lists.
const maxDifferences = 1000

// Audit compares everything with the kernel: all that a dump shows of each route, the
// order of aliases and of legs included, and what surrounds them. What changes meanwhile is
// compared again when its news have been applied. What differs is repaired; the certificate
// tells both sides. Readers go on as ever.
//
// It costs about what the kernel's dump costs.
func (m *Mirrored) Audit(ctx context.Context) (Certificate, error) { return m.ask(ctx, true) }

func (m *Mirrored) audit(ctx context.Context) (Certificate, error) {
	begin := m.now()
	var c Certificate
	tell := func(d fib.Difference, o ObjectDifference) {
		c.Differing++
		switch {
		case len(c.Differences)+len(c.Objects) >= maxDifferences:
		case o.Object != "":
			c.Objects = append(c.Objects, o)
		default:
			c.Differences = append(c.Differences, d)
		}
	}
	m.doubts.add(&doubts{surroundings: true, everyTable: true})
	for try := 0; !m.doubts.none() || !m.drift.none(); try++ {
		if try > 0 {
			if err := sleep(ctx, min(time.Duration(try)*time.Millisecond, explainedWithin/4)); err != nil {
				return c, err
			}
		}
		m.countDrift()
		if err := m.src.barrier(); err != nil {
			return c, err
		}
		if err := m.catchUp(); err != nil {
			return c, err
		}
		if m.doubts.everything != "" {
			if err := m.settle(ctx); err != nil {
				return c, err
			}
			continue
		}
		if m.doubts.none() {
			continue // until it is certain what is drift
		}
		d := m.doubts
		m.doubts = doubts{}
		if err := m.passing(m.look(ctx, &d, tell)); err != nil {
			return c, err
		}
	}
	s := m.f.Snapshot()
	st := s.Surroundings()
	c.Rules, c.Nexthops, c.Links, c.Addresses = len(st.Rules), len(st.Nexthops), len(st.Links), len(st.Addresses)
	c.Tables = s.Digest()
	for _, t := range c.Tables {
		c.Routes += t.Routes
	}
	c.Generation, c.Time, c.Took = s.Generation(), m.now(), m.now().Sub(begin)
	m.settled()
	m.count(func(s *MirrorStats) {
		s.Audits++
		s.Mismatches += uint64(c.Differing)
		s.LastAudit = c
	})
	return c, nil
}
