package rebuild

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/rules"
)

// The namespaces as the words of the steps call them: the one that is rebuilt,
// and one for the other ends of its links.
const (
	Name = "repro"
	Far  = "repro-far"
)

// Step is one thing to do. Either Message is a netlink request with NLM_F_ACK, or
// Key is a setting.
type Step struct {
	Text    string // what a person types; empty where the kernel has it already, most likely
	Message []byte
	Key     string // below /proc/sys/net, with slashes
	Value   string
	Far     bool // to be done in the namespace of the other ends
	// Retry: the kernel may refuse it now and take it after later steps, such as
	// a route whose gateway needs another route.
	Retry bool
	// Rest: links must have come to rest before it, since the kernel marks routes when
	// a link has news.
	Rest bool
}

// Options are what a plan depends on beside the state.
type Options struct {
	// Fresh is an empty namespace of the kernel that is to run the plan: only
	// settings that differ from it are set.
	Fresh fib.Sysctls
	// FarNetNS is an open file of the namespace for the other ends.
	FarNetNS uintptr
}

// Plan returns the steps that make st: settings, links, addresses, nexthop objects, routes,
// rules, neighbours. Addresses are entered from the oldest, routes in the order of
// the dump. Links are veth pairs whose other ends give or withhold the carrier,
// except for the kinds dummy and vrf; they keep their indexes and names.
//
// What has no request is left out: lifetimes, multicast groups, states that
// change by themselves. So the result is to be scanned, not assumed.
func Plan(st *fib.State, opt Options) ([]Step, error) {
	p := &planner{st: st, opt: opt, names: map[int32]string{}}
	for i := range st.Links {
		p.names[st.Links[i].Index] = st.Links[i].Name
	}
	for _, part := range []func() error{p.settings, p.links, p.addresses, p.labels, p.neighbours, p.nexthops} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	rest := len(p.steps)
	for _, part := range []func() error{p.routes, p.rules} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	if rest < len(p.steps) {
		p.steps[rest].Rest = true
	}
	return p.steps, nil
}

type planner struct {
	st    *fib.State
	opt   Options
	names map[int32]string
	steps []Step
	// What the namespace has so far: its settings, and those of lo.
	cur fib.Sysctls
	lo4 fib.Conf4
	lo6 fib.Conf6
}

// NeedsFar reports whether any step is for the namespace of the other ends.
func NeedsFar(steps []Step) bool {
	return slices.ContainsFunc(steps, func(s Step) bool { return s.Far })
}

const (
	addFlags     = rtnl.NLM_F_REQUEST | rtnl.NLM_F_ACK | rtnl.NLM_F_CREATE | rtnl.NLM_F_EXCL
	appendFlags  = rtnl.NLM_F_REQUEST | rtnl.NLM_F_ACK | rtnl.NLM_F_CREATE | rtnl.NLM_F_APPEND
	replaceFlags = rtnl.NLM_F_REQUEST | rtnl.NLM_F_ACK | rtnl.NLM_F_CREATE | rtnl.NLM_F_REPLACE
	changeFlags  = rtnl.NLM_F_REQUEST | rtnl.NLM_F_ACK
)

// send adds a step: a request made by encode, and its words after "ip -n NAME".
func send[T any](p *planner, encode func([]byte, rtnl.Header, T) ([]byte, error), typ, flags uint16, v T, text string) error {
	m, err := encode(nil, rtnl.Header{Type: typ, Flags: flags}, v)
	if err != nil {
		return err
	}
	if text != "" {
		text = "ip -n " + Name + " " + text
	}
	p.steps = append(p.steps, Step{Text: text, Message: m})
	return nil
}

func (p *planner) last() *Step { return &p.steps[len(p.steps)-1] }

// settable are the flags of a link that can be set besides up.
const settable = fib.LinkNoARP | fib.LinkMulticast

func (p *planner) links() error {
	fresh := fib.Link{Conf4: p.cur.Default4, Conf6: p.cur.Default6}
	for i := range p.st.Links {
		l := &p.st.Links[i]
		if l.Flags&fib.LinkLoopback == 0 {
			if err := p.newLink(l); err != nil {
				return err
			}
			p.conf4("ipv4/conf/"+l.Name, &fresh.Conf4, &l.Conf4)
			p.conf6("ipv6/conf/"+l.Name, &fresh.Conf6, &l.Conf6)
		} else {
			p.conf4("ipv4/conf/"+l.Name, &p.lo4, &l.Conf4)
			p.conf6("ipv6/conf/"+l.Name, &p.lo6, &l.Conf6)
		}
	}
	for i := range p.st.Links {
		l := &p.st.Links[i]
		change := rtnl.LinkRequest{Index: l.Index, Group: l.Group, Master: l.Master}
		text := "link set " + l.Name
		if l.Group != 0 {
			text += fmt.Sprintf(" group %d", l.Group)
		}
		if l.Master != 0 {
			text += " master " + p.dev(l.Master)
		}
		if l.Flags&fib.LinkNoARP != 0 && l.Kind != "dummy" && !l.IsL3Master() {
			change.SetFlags, change.Flags = settable&fib.LinkNoARP, fib.LinkNoARP
			text += " arp off"
		}
		if l.Up() {
			change.SetFlags |= fib.LinkUp
			change.Flags |= fib.LinkUp
			text += " up"
		}
		if text == "link set "+l.Name {
			continue
		}
		if err := send(p, rtnl.AppendLink, rtnl.RTM_NEWLINK, changeFlags, &change, text); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) newLink(l *fib.Link) error {
	r := rtnl.LinkRequest{Index: l.Index, Name: l.Name, Kind: "veth", MTU: l.MTU}
	text := "link add " + l.Name
	if l.MTU == 1500 || l.IsL3Master() {
		r.MTU = 0
	} else {
		text += fmt.Sprintf(" mtu %d", l.MTU)
	}
	switch {
	case l.IsL3Master():
		r.Kind, r.VRFTable = l.Kind, l.VRFTable
		text += fmt.Sprintf(" type vrf table %d", l.VRFTable)
	case l.Kind == "dummy" && l.Carrier() == l.Up():
		r.Kind = l.Kind
		text += " type dummy"
	default:
		r.Peer, r.PeerNetNS = l.Name, p.opt.FarNetNS
		text += fmt.Sprintf(" type veth peer name %s netns %s", l.Name, Far)
	}
	if err := send(p, rtnl.AppendLink, rtnl.RTM_NEWLINK, addFlags, &r, text); err != nil {
		return err
	}
	if r.Peer != "" && l.Up() && l.Carrier() {
		m, err := rtnl.AppendLink(nil, rtnl.Header{Type: rtnl.RTM_NEWLINK, Flags: changeFlags},
			&rtnl.LinkRequest{Name: l.Name, SetFlags: fib.LinkUp, Flags: fib.LinkUp})
		if err != nil {
			return err
		}
		p.steps = append(p.steps, Step{Text: "ip -n " + Far + " link set " + l.Name + " up", Message: m, Far: true})
	}
	return nil
}

// addresses are entered from the oldest on, which of two links with one address
// matters (C4); the kernel puts a new IPv6 address before older ones.
func (p *planner) addresses() error {
	as := slices.Clone(p.st.Addresses)
	slices.SortStableFunc(as, func(a, b fib.Address) int {
		if a.Local.Is4() != b.Local.Is4() {
			return cmp.Compare(b2i(b.Local.Is4()), b2i(a.Local.Is4()))
		}
		return 0
	})
	first6, _ := slices.BinarySearchFunc(as, true, func(a fib.Address, _ bool) int { return b2i(!a.Local.Is4()) - 1 })
	slices.Reverse(as[first6:])
	slices.SortStableFunc(as[:first6], func(a, b fib.Address) int { return cmp.Compare(a.Created, b.Created) })
	slices.SortStableFunc(as[first6:], func(a, b fib.Address) int { return cmp.Compare(a.Created, b.Created) })
	for i := range as {
		a := as[i]
		switch {
		case !a.Local.Is6():
		case a.Flags&fib.AddrTentative != 0: // stays so while its link has no carrier
			p.set("ipv6/conf/"+p.dev(a.Link)+"/accept_dad", 1)
			a.Flags &^= fib.AddrNoDAD
		default:
			a.Flags |= fib.AddrNoDAD
		}
		if a.PreferredLft != 0 {
			a.PreferredLft, a.ValidLft = 1<<32-1, 1<<32-1
		} else {
			a.ValidLft = 1<<32 - 1
		}
		a.Protocol = 0
		text := ""
		if !p.byItself(&a) {
			text = "address add " + addressText(&a, p.dev(a.Link))
		}
		if err := send(p, rtnl.AppendAddress, rtnl.RTM_NEWADDR, addFlags, &a, text); err != nil {
			return err
		}
	}
	return nil
}

// byItself reports whether lo gets the address when it comes up.
func (p *planner) byItself(a *fib.Address) bool {
	return a.Link == 1 && a.Local.IsLoopback() && (a.Local.Is6() || a.Prefix.Bits() == 8)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (p *planner) dev(i int32) string {
	if name, ok := p.names[i]; ok {
		return name
	}
	return fmt.Sprintf("if%d", i)
}

func (p *planner) labels() error {
	have := fib.DefaultAddrLabels()
	for _, l := range p.st.AddrLabels {
		if i := slices.IndexFunc(have, func(h fib.AddrLabel) bool { return h.Prefix == l.Prefix && h.Link == l.Link }); i >= 0 && have[i].Label == l.Label {
			have = slices.Delete(have, i, i+1)
			continue
		}
		text := fmt.Sprintf("addrlabel add prefix %v label %d", l.Prefix, l.Label)
		if l.Link != 0 {
			text += " dev " + p.dev(l.Link)
		}
		if err := send(p, rtnl.AppendAddrLabel, rtnl.RTM_NEWADDRLABEL, replaceFlags, &l, text); err != nil {
			return err
		}
	}
	if len(p.st.AddrLabels) == 0 {
		return nil // not known
	}
	for _, l := range have {
		if slices.ContainsFunc(p.st.AddrLabels, func(w fib.AddrLabel) bool { return w.Prefix == l.Prefix && w.Link == l.Link }) {
			continue
		}
		text := fmt.Sprintf("addrlabel del prefix %v label %d", l.Prefix, l.Label)
		if err := send(p, rtnl.AppendAddrLabel, rtnl.RTM_DELADDRLABEL, changeFlags, &l, text); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) neighbours() error {
	for i := range p.st.Neighbours {
		n := &p.st.Neighbours[i]
		if n.State == fib.NeighNone || n.State&fib.NeighNoARP != 0 {
			continue // the kernel's own
		}
		if err := send(p, rtnl.AppendNeighbour, rtnl.RTM_NEWNEIGH, replaceFlags, n, neighbourText(n, p.dev(n.Link))); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) nexthops() error {
	for _, group := range []bool{false, true} {
		for i := range p.st.Nexthops {
			o := &p.st.Nexthops[i]
			if o.IsGroup() != group {
				continue
			}
			if err := send(p, rtnl.AppendNexthop, rtnl.RTM_NEWNEXTHOP, addFlags, o, p.nexthopText(o)); err != nil {
				return err
			}
		}
	}
	return nil
}

// rules keeps the initial ones where they are if it can, since a namespace whose
// rules were never touched answers in its own way (A8, A9).
func (p *planner) rules() error {
	for _, f := range []fib.Family{fib.Inet, fib.Inet6} {
		want, initial := rules.Load(f, p.st.Rules), p.initial(f)
		mode := p.st.Mode4
		if f == fib.Inet6 {
			mode = p.st.Mode6
		}
		if want.IsInitial() && mode != fib.ModeRules && !p.hasVRF() || want.Len() == 0 && f == fib.Inet6 && len(p.st.Rules) == 0 {
			continue
		}
		anew := p.anew(want, initial)
		for _, r := range initial.All() {
			if anew || !contains(want, &r) {
				if err := p.rule(rtnl.RTM_DELRULE, "del", r); err != nil {
					return err
				}
			}
		}
		for _, r := range want.All() {
			if anew || !contains(initial, &r) {
				if err := p.rule(rtnl.RTM_NEWRULE, "add", r); err != nil {
					return err
				}
			}
		}
		if want.IsInitial() && !p.hasVRF() { // touched once, and that is remembered
			touch := rules.Rule{Family: f, Priority: 1, Action: rules.ActNop}
			if err := p.rule(rtnl.RTM_NEWRULE, "add", touch); err != nil {
				return err
			}
			if err := p.rule(rtnl.RTM_DELRULE, "del", touch); err != nil {
				return err
			}
		}
	}
	return nil
}

// initial are the rules that the namespace has once its links are there: the first VRF
// brings one of its own (L2).
func (p *planner) initial(f fib.Family) *rules.List {
	l := rules.Initial(f)
	if !p.hasVRF() {
		return l
	}
	all := []rules.Rule{{Family: f, Priority: 1000, Action: rules.ActLookup, L3MDev: true, Protocol: uint8(fib.ProtoKernel)}}
	for _, r := range l.All() {
		all = append(all, r)
	}
	return rules.Load(f, all)
}

func (p *planner) hasVRF() bool {
	return slices.ContainsFunc(p.st.Links, func(l fib.Link) bool { return l.IsL3Master() })
}

// anew reports whether rules must all be entered again to stand in their order: a
// new rule goes behind those of its priority (A1).
func (p *planner) anew(want, initial *rules.List) bool {
	for _, r := range want.All() {
		if contains(initial, &r) {
			continue
		}
		for _, i := range initial.All() {
			if i.Priority == r.Priority {
				return true
			}
		}
	}
	return false
}

func contains(l *rules.List, r *rules.Rule) bool {
	for _, x := range l.All() {
		if x == *r {
			return true
		}
	}
	return false
}

func (p *planner) rule(typ uint16, verb string, r rules.Rule) error {
	q := rules.RequestOf(r)
	flags := uint16(changeFlags)
	if typ == rtnl.RTM_NEWRULE {
		flags = rtnl.NLM_F_REQUEST | rtnl.NLM_F_ACK | rtnl.NLM_F_CREATE
	}
	return send(p, rtnl.AppendRule, typ, flags, &q, ruleText(verb, &r))
}
