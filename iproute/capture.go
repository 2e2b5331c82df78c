package iproute

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/rules"
)

// CaptureCommand is a line for any POSIX shell that writes all that [ReadCapture] wants to
// know of the current network namespace to capture.tar.gz. It needs iproute2 5.0 or newer
// and no privilege. No secret is in it (conf/*/stable_secret is left out).
const CaptureCommand = `d=$(mktemp -d) && (cd $d; for c in link addr '-4 rule' '-6 rule' '-4 route show table all' ` +
	`'-6 route show table all' nexthop '-6 nexthop' 'nexthop bucket' 'neigh show nud all' addrlabel '-4 route get 127.0.0.1'; ` +
	`do ip -N -j -d $c >ip_$(echo $c | tr ' ' _).json 2>/dev/null; done; cp /proc/net/igmp* .; uname -rv >kernel.txt; ` +
	`grep -s . /proc/sys/net/ipv[46]/fib_* /proc/sys/net/ipv4/nexthop_compat_mode /proc/sys/net/ipv6/route/skip_notify* ` +
	`/proc/sys/net/ipv[46]/conf/*/[!s]* /proc/sys/net/ipv[46]/conf/*/s[ehr]* >sysctl.txt); tar czf capture.tar.gz -C $d . && rm -r $d`

// ReadCapture puts a state together from files in fsys, in any directory, each known by its
// name:
//
//	link addr rule rule6 route route6       ip -j -d link, address, rule, -6 rule,
//	                                        route show table all, -6 route show table all
//	nexthop nexthop6 bucket                 ip -j -d nexthop, -6 nexthop, nexthop bucket
//	neigh addrlabel                         ip -j -d neighbour show nud all, addrlabel
//	get                                     ip -j -d route get 127.0.0.1
//	sysctl kernel igmp igmp6                sysctl -a, uname -rv, /proc/net/igmp, igmp6
//	rt_tables rt_protos rt_realms group …   the files of that name in /etc/iproute2
//
// with any ending. A name made of the words of the command (ip_-j_-6_route_show_table_all.txt)
// does as well. Files that start as those of "ip route save", "ip rule save" and "ip address
// save" do may stand beside them or instead; of a table in both, the saved routes count.
//
// Only routes are needed, and links where JSON names them. What else is missing is derived
// (see the warnings, which say so): rules are then the initial ones, settings those of a new
// namespace, links of saved routes up and named by their index. What no such file shows is the creation stamp of addresses and, but for the
// saved kind, locked metrics and the parameters of encapsulations.
//
// Warnings, 200 at most, also name each key that is not modelled and each file that was not
// used, such as a symbolic link. Errors name file, line and column, and how to mend it.
func ReadCapture(fsys fs.FS) (st *fib.State, warnings []string, err error) {
	c, err := newCapture(fsys)
	if err != nil {
		return nil, nil, err
	}
	if err := c.read(); err != nil {
		return nil, nil, err
	}
	return c.st, c.notes.list(), nil
}

// capture is a state in the making.
type capture struct {
	fsys  fs.FS
	files captureFiles
	notes *notes
	names *Names
	links *linkTable
	st    *fib.State

	saved     map[savedTable]string // tables that save dumps hold, and which
	savedRule map[fib.Family]string
	sysctl    sysctlFile
	hasSysctl bool
}

type savedTable struct {
	family fib.Family
	table  fib.TableID
}

func (c *capture) read() error {
	for _, step := range []func() error{c.readNames, c.readKernel, c.readSysctls, c.readLinks, c.readCreation, c.readDumps,
		c.readRules, c.readNexthops, c.readBuckets, c.readNeighbours, c.readLabels, c.readRoutes, c.readMode} {
		if err := step(); err != nil {
			return err
		}
	}
	c.derive()
	return nil
}

// array reads the JSON array in each file of kind. A failed ip leaves an empty file or a lone
// "[", which count as missing; ok tells whether there was one that did not fail.
func (c *capture) array(kind fileKind, element func(d *decoder)) (ok bool, err error) {
	for _, name := range c.files.of[kind] {
		f, err := c.fsys.Open(name)
		if err != nil {
			return ok, err
		}
		ok, err = c.arrayIn(name, f, element)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return ok, err
		}
	}
	return ok, nil
}

func (c *capture) arrayIn(name string, f io.Reader, element func(*decoder)) (ok bool, err error) {
	r := bufio.NewReaderSize(f, lexBuffer)
	head, _ := r.Peek(64)
	if s := string(bytes.TrimSpace(head)); len(head) < 64 && (s == "" || s == "[") {
		c.notes.add("%s: empty: the ip command behind it failed or is too old for it", name)
		return false, nil
	}
	d := c.decoder(name, r)
	if d.peek() != '[' {
		d.fail("expected an array as ip -j prints, found %s", d.found())
	}
	for it := d.array(); it.next(); {
		element(d)
	}
	d.finish()
	return true, d.err
}

func (c *capture) decoder(name string, r io.Reader) *decoder {
	return &decoder{lexer: newLexer(name, r), capture: true, names: c.names, links: c.links, notes: c.notes}
}

func (c *capture) readLinks() error {
	base := fib.Link{Conf4: c.st.Sysctls.Default4, Conf6: c.st.Sysctls.Default6, MTU: 1500}
	var fromAddr []linkObject
	add := func(to *[]linkObject) func(d *decoder) {
		return func(d *decoder) {
			if o := d.link(base); o.Index != 0 { // ip writes {} for what a filter hides
				*to = append(*to, o)
			}
		}
	}
	var links []linkObject
	hasLinks, err := c.array(fileLink, add(&links))
	if err != nil {
		return err
	}
	hasAddrs, err := c.array(fileAddr, add(&fromAddr))
	if err != nil {
		return err
	}
	switch {
	case !hasLinks && hasAddrs:
		links = fromAddr // shows all of a link that matters
	case !hasLinks:
		c.links.late = "there is no link file; add ip -j -d link"
		c.notes.add("no link file: links are taken to be up, with MTU 1500 and a name from their index; add ip -j -d link")
	case !hasAddrs:
		c.notes.add("no addr file: no address is known, so source addresses and local delivery may be wrong; add ip -j -d addr")
	}
	var masters []pendingMaster
	for i := range links {
		o := &links[i]
		if c.links.add(o.Name, o.Index); c.links.byName[o.Name] == ambiguous {
			return fmt.Errorf("link %.80q appears twice; are there two captures in one place?", o.Name)
		}
		if o.masterName != "" {
			masters = append(masters, pendingMaster{i, o.masterName})
		}
		if c.hasSysctl {
			c.sysctl.apply(&o.Link)
		}
		c.st.Links = append(c.st.Links, o.Link)
	}
	d := c.decoder("link", nil)
	if d.setMasters(c.st.Links, masters); d.err != nil {
		return d.err
	}
	for _, o := range fromAddr {
		for _, a := range o.addrs {
			a.Link = o.Index
			c.st.Addresses = append(c.st.Addresses, a)
		}
	}
	return nil
}

func (c *capture) readRules() error {
	for _, k := range []struct {
		kind   fileKind
		family rules.Family
		cmd    string
	}{{fileRule, rules.Inet, "ip -j -d rule"}, {fileRule6, rules.Inet6, "ip -j -d -6 rule"}} {
		if c.savedRule[k.family] != "" {
			continue
		}
		ok, err := c.array(k.kind, func(d *decoder) { c.st.Rules = append(c.st.Rules, d.rule(k.family)) })
		if err != nil {
			return err
		}
		if !ok {
			c.notes.add("no %s rules: taken to be those of a new namespace; add %s", k.family, k.cmd)
			for _, r := range rules.Initial(k.family).All() {
				c.st.Rules = append(c.st.Rules, r)
			}
		}
	}
	return nil
}

func (c *capture) readNexthops() error {
	six := map[uint32]bool{}
	has6, err := c.array(fileNexthop6, func(d *decoder) { six[d.nexthop().ID] = true })
	if err != nil {
		return err
	}
	_, err = c.array(fileNexthop, func(d *decoder) {
		o := d.nexthop()
		switch {
		case o.Family != 0 || o.IsGroup():
		case six[o.ID]:
			o.Family = fib.Inet6
		default:
			o.Family = fib.Inet
			if !has6 {
				c.notes.add("nexthop %d: without a gateway nothing tells its family, taken to be inet; add ip -j -d -6 nexthop", o.ID)
			}
		}
		c.st.Nexthops = append(c.st.Nexthops, o)
	})
	return err
}

func (c *capture) readBuckets() error {
	byID := map[uint32]*fib.NexthopObject{}
	for i := range c.st.Nexthops {
		byID[c.st.Nexthops[i].ID] = &c.st.Nexthops[i]
	}
	_, err := c.array(fileBucket, func(d *decoder) {
		group, index, member := d.bucket()
		o := byID[group]
		if d.err != nil {
			return
		}
		if o == nil {
			d.fail("bucket of nexthop %d, which the nexthop file does not have; capture again", group)
			return
		}
		// A kernel lists all buckets in order. A gap must not be filled: one line may claim
		// to be the last of 65536.
		switch n := len(o.Buckets); {
		case index < n:
			o.Buckets[index] = member
		case index == n:
			o.Buckets = append(o.Buckets, member)
		default:
			d.fail("bucket %d of nexthop %d after %d others; capture all buckets, in order", index, group, n)
		}
	})
	for _, o := range c.st.Nexthops {
		if o.Resilient && len(o.Buckets) == 0 {
			c.notes.add("nexthop %d: its buckets are not known; add ip -j -d nexthop bucket", o.ID)
		}
	}
	return err
}

func (c *capture) readNeighbours() error {
	_, err := c.array(fileNeigh, func(d *decoder) {
		if n, ok := d.neighbour(); ok {
			c.st.Neighbours = append(c.st.Neighbours, n)
		}
	})
	return err
}

func (c *capture) readLabels() error {
	var labels []fib.AddrLabel
	ok, err := c.array(fileAddrLabel, func(d *decoder) { labels = append(labels, d.addrLabel()) })
	if ok {
		c.st.AddrLabels = labels
	}
	return err
}

// readRoutes reads the routes of both families. Without -4, "ip route show table all" lists
// those of IPv6 as well.
func (c *capture) readRoutes() error {
	has := map[fib.Family]bool{}
	read := func(kind fileKind, family fib.Family, skip6 bool) (bool, error) {
		return c.array(kind, func(d *decoder) {
			c.st.Routes = append(c.st.Routes, fib.Route{})
			r := &c.st.Routes[len(c.st.Routes)-1]
			d.route(r, family)
			f := r.Family()
			if f == fib.Inet6 && skip6 || c.saved[savedTable{f, r.Table}] != "" {
				c.st.Routes = c.st.Routes[:len(c.st.Routes)-1]
			} else {
				has[f] = true
			}
		})
	}
	own6, err := c.hasContent(fileRoute6)
	if err != nil {
		return err
	}
	ok4, err := read(fileRoute, 0, own6)
	if err != nil {
		return err
	}
	ok6, err := read(fileRoute6, fib.Inet6, false)
	if err != nil {
		return err
	}
	if !ok4 && !ok6 && len(c.saved) == 0 {
		return fmt.Errorf("no routes: expected a file route or route6 (ip -j -d route show table all) or one of ip route save; found %s", c.files.seen())
	}
	for s := range c.saved {
		has[s.family] = true
	}
	for _, f := range []fib.Family{fib.Inet, fib.Inet6} {
		if !has[f] {
			c.notes.add("no %s routes", f)
		}
	}
	// Routes were read IPv4 first; saved ones came before. Order matters under a prefix only.
	slices.SortStableFunc(c.st.Routes, func(a, b fib.Route) int { return cmp.Compare(a.Family(), b.Family()) })
	return nil
}

// hasContent tells whether a file of kind holds an array with something in it.
func (c *capture) hasContent(kind fileKind) (bool, error) {
	for _, name := range c.files.of[kind] {
		head, err := c.head(name, 64)
		if err != nil {
			return false, err
		}
		if s := strings.TrimLeft(strings.TrimSpace(string(head)), "[ \t\r\n"); s != "" {
			return true, nil
		}
	}
	return false, nil
}

// head reads the first n bytes of a file, fewer if it has fewer.
func (c *capture) head(name string, n int) ([]byte, error) {
	f, err := c.fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, n)
	n, err = io.ReadFull(f, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return b[:n], err
}
