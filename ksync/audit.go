package ksync

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
	// Uncertain is how much kept changing, or was cut off by the time that an audit may take, so that
	// nothing is certain of it; Open names the first of it.
	Uncertain int
	Open      []Open
}

// Open is what an audit could not compare: a prefix, or what Object says.
type Open struct {
	fib.TablePrefix
	Object string
}

// String names it.
func (o Open) String() string {
	if o.Object != "" {
		return o.Object
	}
	return fmt.Sprintf("table %v %v", o.Table, o.Dst)
}

// Equal reports whether nothing differed, and nothing was uncertain.
func (c *Certificate) Equal() bool { return c.Differing == 0 && c.Uncertain == 0 }

// maxDifferences bounds what a certificate lists.
const maxDifferences = 1000

// Audit compares everything with the kernel: all that a dump shows of each route, the
// order of aliases and of legs included, and what surrounds them. What changes meanwhile is
// compared again when its news have been applied. What differs is repaired; the certificate
// tells both sides. Readers go on as ever.
//
// What changed while it was shown counts as equal if its news lead through what was shown;
// else it is looked at once more. After [MirrorOptions.AuditWithin] an audit ends in any case.
//
// It costs about what the kernel's dump costs, and half of the time while it looks again.
func (m *Mirrored) Audit(ctx context.Context) (Certificate, error) { return m.ask(ctx, true) }

// audit compares everything; begin is when that was asked for.
func (m *Mirrored) audit(ctx context.Context, begin time.Time) (Certificate, error) {
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
	var took time.Duration // the last look
	for try := 0; !m.doubts.none() || !m.drift.none() || len(m.part.faint) > 0; try++ {
		if try > 0 {
			if err := m.wait(ctx, max(took, min(time.Duration(try)*time.Millisecond, explainedWithin/4))); err != nil {
				return c, err
			}
		}
		if err := m.countDrift(ctx); err != nil {
			return c, err
		}
		if late := try > 0 && m.now().Sub(begin) > m.opt.AuditWithin; late && m.drift.none() {
			m.doubts.add(m.leftOver())
			c.open(&m.doubts)
			break
		} else if late {
			continue
		}
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
		m.doubts.add(m.leftOver())
		if m.doubts.none() {
			continue // until it is certain what is drift
		}
		d, at := m.doubts, m.now()
		m.doubts = doubts{}
		if err := m.passing(m.look(ctx, &d, tell)); err != nil {
			return c, err
		}
		took = m.now().Sub(at)
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

// wait applies news for a while.
func (m *Mirrored) wait(ctx context.Context, d time.Duration) error {
	for end := m.now().Add(d); ; {
		left := end.Sub(m.now())
		if left <= 0 {
			return nil
		}
		if err := sleep(ctx, min(left, m.opt.MaxDelay)); err != nil {
			return err
		}
		if err := m.catchUp(); err != nil {
			return err
		}
	}
}

// open names what is in doubt.
func (c *Certificate) open(d *doubts) {
	add := func(o Open) {
		if c.Uncertain++; len(c.Open) < maxDifferences {
			c.Open = append(c.Open, o)
		}
	}
	if d.everything != "" {
		add(Open{Object: "everything: " + d.everything})
	}
	if d.everyTable || d.elsewhere {
		add(Open{Object: "routes of all tables"})
	}
	for l := range d.links {
		add(Open{Object: fmt.Sprintf("routes by link %d", l)})
	}
	prefixes := map[fib.TablePrefix]struct{}{}
	for t, x := range d.tables {
		if x.all {
			add(Open{Object: fmt.Sprintf("%v routes of table %v", t.fam, t.id)})
		}
		for p := range x.prefixes {
			prefixes[p] = struct{}{}
		}
	}
	for p := range d.suspects {
		prefixes[p] = struct{}{}
	}
	for p := range prefixes {
		add(Open{TablePrefix: p})
	}
	if d.surroundings {
		add(Open{Object: "links, addresses, rules, nexthops and settings"})
	}
	slices.SortFunc(c.Open, func(a, b Open) int { return strings.Compare(a.String(), b.String()) })
}
