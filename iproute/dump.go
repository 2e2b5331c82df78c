package iproute

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/rules"
)

// The first four bytes of what ip saves, in the byte order of the machine that saved it.
const (
	magicRoute = 0x45311224
	magicRule  = 0x71706986
	magicAddr  = 0x47361222
)

func isDump(head []byte) bool {
	return len(head) >= 4 && slices.Contains([]uint32{magicRoute, magicRule, magicAddr}, binary.NativeEndian.Uint32(head))
}

// maxMessage bounds one netlink message; a kernel's have at most 32 KiB, those of large
// nexthop groups some more.
const maxMessage = 1 << 20

// ReadRouteDump reads what "ip route save" wrote and calls each with every route, in order,
// which is only valid until the next. Links are known by their index alone. warnings name what
// is not modelled.
//
// Errors: not such a dump (or one of a machine with another byte order), cut short, malformed,
// or the error of each. Costs no allocation per plain route.
func ReadRouteDump(r io.Reader, each func(*fib.Route) error) (warnings []string, err error) {
	return readDump(r, "route dump", magicRoute, dumpSink{route: each})
}

// ReadRuleDump reads what "ip rule save" or "ip -6 rule save" wrote, otherwise as
// [ReadRouteDump].
func ReadRuleDump(r io.Reader, each func(*rules.Rule) error) (warnings []string, err error) {
	return readDump(r, "rule dump", magicRule, dumpSink{rule: each})
}

// dumpSink takes what a dump holds.
type dumpSink struct {
	route   func(*fib.Route) error
	rule    func(*rules.Rule) error
	address func(*fib.Address) error
}

// readDump reads a dump that starts with magic, or with any known one where magic is 0.
func readDump(r io.Reader, name string, magic uint32, sink dumpSink) ([]string, error) {
	b := bufio.NewReaderSize(r, lexBuffer)
	head, err := b.Peek(4)
	if err != nil || !isDump(head) || magic != 0 && binary.NativeEndian.Uint32(head) != magic {
		return nil, fmt.Errorf("%s: starts with % x; ip route save writes 24 12 31 45 first, ip rule save 86 69 70 71", name, head)
	}
	if _, err := b.Discard(4); err != nil {
		return nil, err
	}
	var (
		report rtnl.Report
		route  fib.Route
		rule   rules.Request
		addr   fib.Address
		buf    []byte
		offset = int64(4)
	)
	for n := 0; ; n++ {
		m, size, err := readMessage(b, &buf)
		if errors.Is(err, io.EOF) {
			return reportNotes(name, &report), nil
		}
		fail := func(err error) ([]string, error) {
			return nil, fmt.Errorf("%s: message %d at byte %d: %w", name, n, offset, err)
		}
		if err != nil {
			return fail(err)
		}
		switch {
		case m.Type == rtnl.RTM_NEWROUTE && sink.route != nil:
			if err = rtnl.DecodeRoute(m, &route, &report); err == nil {
				err = sink.route(&route)
			}
		case m.Type == rtnl.RTM_NEWRULE && sink.rule != nil:
			if err = rtnl.DecodeRule(m, &rule, &report); err == nil {
				err = sink.rule(&rule.Rule)
			}
		case m.Type == rtnl.RTM_NEWADDR && sink.address != nil:
			if err = rtnl.DecodeAddress(m, &addr, &report); err == nil {
				err = sink.address(&addr)
			}
		default:
			err = fmt.Errorf("unexpected %s", rtnl.MessageName(m.Type))
		}
		if err != nil && !errors.Is(err, rtnl.ErrSkip) {
			return fail(err)
		}
		offset += size
	}
}

// readMessage reads one message, which is valid until the next call; io.EOF after the last.
func readMessage(b *bufio.Reader, buf *[]byte) (m rtnl.Message, size int64, err error) {
	head, err := b.Peek(4)
	if err != nil {
		if len(head) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return m, 0, err
	}
	n := binary.NativeEndian.Uint32(head)
	if n > maxMessage {
		return m, 0, fmt.Errorf("says it has %d bytes", n)
	}
	padded := int(n+3) &^ 3
	*buf = slices.Grow((*buf)[:0], padded)[:padded]
	got, err := io.ReadFull(b, *buf)
	if got < int(n) {
		return m, 0, fmt.Errorf("cut short: says it has %d bytes, %d are there", n, got)
	}
	if err != nil && got >= int(n) {
		err = nil // padding after the last one may be missing
	}
	if err != nil {
		return m, 0, err
	}
	m, _, err = rtnl.Next((*buf)[:got])
	return m, int64(got), err
}

// reportNotes makes warnings of a decoder's report.
func reportNotes(name string, report *rtnl.Report) (out []string) {
	for _, u := range report.Sorted() {
		out = append(out, fmt.Sprintf("%s: %s is not modelled; answers may be wrong where it matters (%d times)", name, u, report.Count(u)))
	}
	return out
}

// readDumps reads the saved routes, rules and addresses of a capture.
func (c *capture) readDumps() error {
	indexes := map[int32]bool{}
	need := func(i int32) error {
		if i < 0 {
			return fmt.Errorf("names link %d, and no link has a negative index", i)
		}
		if i != 0 {
			indexes[i] = true
		}
		return nil
	}
	hasAddrs := len(c.st.Addresses) > 0
	// "ip route save table all" holds both families, so two dumps may hold the same
	// table; the first counts.
	current := ""
	var twice []string
	first := func(owner string, has bool) bool {
		if has && owner != current {
			if !slices.Contains(twice, current) {
				twice = append(twice, current)
				c.notes.add("%s: %s has the same; the first counts", current, owner)
			}
			return false
		}
		return true
	}
	addrOwner := map[fib.Family]string{}
	sink := dumpSink{
		route: func(r *fib.Route) error {
			k := savedTable{r.Family(), r.Table}
			owner, has := c.saved[k]
			if !first(owner, has) {
				return nil
			}
			c.saved[k] = current
			for _, n := range r.Nexthops {
				if err := need(n.Link); err != nil {
					return err
				}
			}
			own := *r
			own.Nexthops = slices.Clone(r.Nexthops)
			c.st.Routes = append(c.st.Routes, own)
			return nil
		},
		rule: func(r *rules.Rule) error {
			owner, has := c.savedRule[r.Family]
			if !first(owner, has) {
				return nil
			}
			c.savedRule[r.Family] = current
			c.st.Rules = append(c.st.Rules, *r)
			return nil
		},
		address: func(a *fib.Address) error {
			f := rules.FamilyOf(a.Local)
			owner, has := addrOwner[f]
			if hasAddrs || !first(owner, has) {
				return nil
			}
			addrOwner[f] = current
			c.st.Addresses = append(c.st.Addresses, *a)
			return need(a.Link)
		},
	}
	for _, name := range c.files.of[fileDump] {
		current = name
		f, err := c.fsys.Open(name)
		if err != nil {
			return err
		}
		warnings, err := readDump(f, name, 0, sink)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
		for _, w := range warnings {
			c.notes.add("%s", w)
		}
	}
	c.inventLinks(indexes)
	return nil
}

// inventLinks adds the links that saved routes name by index and no file describes: up, and
// named as ip names what it cannot find. The first link of every namespace is lo.
func (c *capture) inventLinks(indexes map[int32]bool) {
	for _, l := range c.st.Links {
		delete(indexes, l.Index)
	}
	invented := slices.Sorted(maps.Keys(indexes))
	for _, i := range invented {
		l := fib.Link{Index: i, Name: "if" + strconv.Itoa(int(i)), MTU: 1500, Conf4: c.st.Sysctls.Default4, Conf6: c.st.Sysctls.Default6,
			Flags: fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp | fib.LinkBroadcast | fib.LinkMulticast}
		if i == 1 {
			l.Name, l.MTU = "lo", 65536
			l.Flags = fib.LinkUp | fib.LinkRunning | fib.LinkLowerUp | fib.LinkLoopback
		}
		if _, taken := c.links.byName[l.Name]; !taken {
			c.links.byName[l.Name] = i
		}
		c.st.Links = append(c.st.Links, l)
	}
	if len(invented) > 0 {
		c.notes.add("saved routes name %d links by index that no link file has, such as %d; taken to be up and named if%[2]d and so on; add ip -j -d link",
			len(invented), invented[0])
	}
}
