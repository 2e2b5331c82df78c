package rules_test

import (
	"maps"
	"slices"
	"strconv"

	"github.com/fibula-net/fibula/internal/errno"
	"github.com/fibula-net/fibula/rules"
)

// model is a rule list as a naive person keeps it: requests written down as
// attributes, kept in order, compared attribute by attribute.
type model struct {
	family rules.Family
	list   []attributes
}

func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}

func newModel(f rules.Family) *model {
	m := &model{family: f, list: []attributes{
		{"action": "1", "priority": "0", "table": "255", "protocol": "2"},
		{"action": "1", "priority": "32766", "table": "254", "protocol": "2"},
		{"action": "1", "priority": "32767", "table": "253", "protocol": "2"},
	}}
	if f == rules.Inet6 {
		m.list = m.list[:2]
	}
	return m
}

// stored returns the request with its defaults filled in and without what says
// nothing.
func (m *model) stored(q attributes) attributes {
	s := maps.Clone(q)
	if s["priority"] == "" {
		s["priority"] = "0"
		if len(m.list) > 1 && m.list[1]["priority"] != "0" {
			s["priority"] = strconv.FormatUint(number(m.list[1]["priority"])-1, 10)
		}
	}
	if number(s["mark"]) != 0 && s["markmask"] == "" {
		s["markmask"] = "4294967295"
	}
	if s["dscp"] != "" && s["dscpmask"] == "" {
		s["dscpmask"] = "63"
	}
	for _, port := range []string{"sport", "dport"} {
		if s[port] == "53-53" && s[port+"mask"] == "" {
			s[port+"mask"] = "65535"
		}
	}
	if s["flowlabelmask"] == "0" {
		delete(s, "flowlabel")
	}
	for name, value := range s {
		switch {
		case value == "4294967295" && (name == "suppresslength" || name == "suppressgroup"),
			value == "0" && slices.Contains([]string{"mark", "markmask", "table", "realms", "flowlabelmask"}, name),
			len(value) > 2 && value[len(value)-2:] == "/0",
			name == "realms" && m.family == rules.Inet6:
			delete(s, name)
		}
	}
	return s
}

// Attributes compared in any case by the search for duplicates, and those
// compared only if the request has them.
var (
	always  = []string{"action", "table", "priority", "iif", "oif", "mark", "markmask", "suppresslength", "suppressgroup", "tunid", "l3mdev", "uids", "ipproto", "protocol", "sport", "sportmask", "dport", "dportmask"}
	ifGiven = []string{"from", "to", "tos", "dscp", "dscpmask", "flowlabel", "flowlabelmask", "realms"}
)

func (m *model) agreesIfGiven(have, given attributes) bool {
	for _, name := range ifGiven {
		value, ok := given[name]
		if !ok || name == "realms" && m.family == rules.Inet6 {
			continue
		}
		if value == "0" && (name == "realms" || name == "flowlabel" || name == "flowlabelmask") {
			value = ""
		}
		if (name == "from" || name == "to") && value[len(value)-2:] == "/0" {
			continue
		}
		had := have[name]
		if name == "flowlabel" && had == "0" {
			had = ""
		}
		if had != value {
			return false
		}
	}
	return true
}

// add returns the position of the new rule. Requests must be free of faults
// other than the ones named here.
func (m *model) add(q attributes, excl bool) (int, errno.Errno) {
	s := m.stored(q)
	if s["goto"] != "" && number(s["goto"]) <= number(s["priority"]) {
		return 0, errno.EINVAL
	}
	if excl {
		for _, have := range m.list {
			same := func(name string) bool { return have[name] == s[name] }
			if !slices.ContainsFunc(always, func(name string) bool { return !same(name) }) && m.agreesIfGiven(have, q) {
				return 0, errno.EEXIST
			}
		}
	}
	at := 0
	for at < len(m.list) && number(m.list[at]["priority"]) <= number(s["priority"]) {
		at++
	}
	m.list = slices.Insert(m.list, at, s)
	return at, 0
}

// remove returns the position that the removed rule had.
func (m *model) remove(q attributes) (int, errno.Errno) {
	s := m.stored(q)
	if s["goto"] != "" && number(s["goto"]) <= number(s["priority"]) {
		return 0, errno.EINVAL
	}
	for at, have := range m.list {
		agrees := m.agreesIfGiven(have, q)
		for _, name := range always {
			if name == "priority" && q[name] == "" || name == "action" && q[name] == "0" || s[name] == "" {
				continue
			}
			agrees = agrees && have[name] == s[name]
		}
		if agrees {
			m.list = slices.Delete(m.list, at, at+1)
			return at, 0
		}
	}
	return 0, errno.ENOENT
}

// target returns where a goto at position i leads, or -1.
func (m *model) target(i int) int {
	if m.list[i]["goto"] == "" {
		return -1
	}
	return slices.IndexFunc(m.list, func(r attributes) bool { return r["priority"] == m.list[i]["goto"] })
}

// attributesOf writes a stored rule down as the model does.
func attributesOf(r rules.Rule) attributes {
	a := attributes{"action": strconv.Itoa(int(r.Action)), "priority": strconv.Itoa(int(r.Priority))}
	put := func(has bool, name, value string) {
		if has {
			a[name] = value
		}
	}
	n := func(v uint64) string { return strconv.FormatUint(v, 10) }
	put(r.Table != 0, "table", n(uint64(r.Table)))
	put(r.Goto != 0, "goto", n(uint64(r.Goto)))
	put(r.Not, "not", "1")
	put(r.FindSaddr, "findsaddr", "1")
	put(r.From.IsValid(), "from", r.From.String())
	put(r.To.IsValid(), "to", r.To.String())
	put(r.Iif != "", "iif", r.Iif)
	put(r.Oif != "", "oif", r.Oif)
	put(r.Mark != 0, "mark", n(uint64(r.Mark)))
	put(r.MarkMask != 0, "markmask", n(uint64(r.MarkMask)))
	put(r.TOS != 0, "tos", n(uint64(r.TOS)))
	put(r.DSCPMask != 0, "dscp", n(uint64(r.DSCP)))
	put(r.DSCPMask != 0, "dscpmask", n(uint64(r.DSCPMask)))
	put(r.FlowLabelMask != 0, "flowlabel", n(uint64(r.FlowLabel)))
	put(r.FlowLabelMask != 0, "flowlabelmask", n(uint64(r.FlowLabelMask)))
	put(r.HasUIDs, "uids", "{"+n(uint64(r.UIDs.Start))+" "+n(uint64(r.UIDs.End))+"}")
	put(r.IPProto != 0, "ipproto", n(uint64(r.IPProto)))
	put(r.Sport.Start != 0, "sport", n(uint64(r.Sport.Start))+"-"+n(uint64(r.Sport.End)))
	put(r.Sport.Mask != 0, "sportmask", n(uint64(r.Sport.Mask)))
	put(r.Dport.Start != 0, "dport", n(uint64(r.Dport.Start))+"-"+n(uint64(r.Dport.End)))
	put(r.Dport.Mask != 0, "dportmask", n(uint64(r.Dport.Mask)))
	put(r.TunID != 0, "tunid", n(r.TunID))
	put(r.L3MDev, "l3mdev", "1")
	put(r.Realms != 0, "realms", n(uint64(r.Realms)))
	put(r.SuppressPrefixLength.Set, "suppresslength", n(uint64(r.SuppressPrefixLength.V)))
	put(r.SuppressIfGroup.Set, "suppressgroup", n(uint64(r.SuppressIfGroup.V)))
	put(r.Protocol != 0, "protocol", n(uint64(r.Protocol)))
	return a
}
