package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"text/tabwriter"

	"github.com/fatih/color"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/iproute"
	"github.com/fibula-net/fibula/rules"
)

// summary is what "state show" tells.
type summary struct {
	Kernel     string         `json:"kernel,omitempty"`
	Mode4      string         `json:"mode4"`
	Mode6      string         `json:"mode6"`
	Links      []linkSummary  `json:"links"`
	Rules4     []ruleSummary  `json:"rules4"`
	Rules6     []ruleSummary  `json:"rules6"`
	Tables     []tableSummary `json:"tables"`
	Nexthops   int            `json:"nexthops"`
	Neighbours int            `json:"neighbours"`
}

type linkSummary struct {
	Name      string   `json:"ifname"`
	Index     int32    `json:"ifindex"`
	Kind      string   `json:"kind,omitempty"`
	Up        bool     `json:"up"`
	Carrier   bool     `json:"carrier"`
	Master    string   `json:"master,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
}

type ruleSummary struct {
	Priority uint32 `json:"priority"`
	Rule     string `json:"rule"`
}

type tableSummary struct {
	Table  string `json:"table"`
	Routes int    `json:"routes"`
	Inet   int    `json:"ipv4"`
	Inet6  int    `json:"ipv6"`
}

// modeText says whether rules are walked: until someone touches them, a kernel
// has local and main in one, and no rule decides.
var modeText = map[fib.Mode]string{fib.ModeUnknown: "unknown", fib.ModeMerged: "merged", fib.ModeRules: "rules"}

func summarize(st *fib.State, s *fib.Snapshot, names *iproute.Names) summary {
	out := summary{
		Mode4: modeText[st.Mode4], Mode6: modeText[st.Mode6], Nexthops: len(st.Nexthops), Neighbours: len(st.Neighbours),
		Rules4: rulesOf(s, fib.Inet, names), Rules6: rulesOf(s, fib.Inet6, names),
	}
	if k := st.Kernel; k != (fib.KernelVersion{}) {
		out.Kernel = fmt.Sprintf("%d.%d.%d", k.Major, k.Minor, k.Patch)
	}
	for l, addrs := range s.Links() {
		ls := linkSummary{Name: l.Name, Index: l.Index, Kind: l.Kind, Up: l.Up(), Carrier: l.Carrier()}
		if m, ok := s.Link(l.Master); ok {
			ls.Master = m.Name
		}
		for i := range addrs {
			ls.Addresses = append(ls.Addresses, fmt.Sprintf("%v/%d", addrs[i].Local, addrs[i].Prefix.Bits()))
		}
		out.Links = append(out.Links, ls)
	}
	out.Tables = tablesOf(st, names)
	return out
}

func rulesOf(s *fib.Snapshot, f fib.Family, names *iproute.Names) []ruleSummary {
	list := s.Rules(f)
	out := make([]ruleSummary, 0, len(list))
	detached := func(name string) bool {
		_, ok := s.LinkByName(name)
		return name != "" && !ok
	}
	for i := range list {
		r := &list[i]
		text := names.AppendRule(nil, r, detached(r.Iif), detached(r.Oif), r.Action == rules.ActGoto && !hasPriority(list, r.Goto))
		out = append(out, ruleSummary{r.Priority, string(text)})
	}
	return out
}

func hasPriority(list []rules.Rule, p uint32) bool {
	for i := range list {
		if list[i].Priority == p {
			return true
		}
	}
	return false
}

func tablesOf(st *fib.State, names *iproute.Names) []tableSummary {
	at := map[fib.TableID]int{}
	var out []tableSummary
	for i := range st.Routes {
		r := &st.Routes[i]
		n, ok := at[r.Table]
		if !ok {
			n = len(out)
			at[r.Table] = n
			out = append(out, tableSummary{Table: names.TableName(uint32(r.Table))})
		}
		out[n].Routes++
		if r.Family() == fib.Inet {
			out[n].Inet++
		} else {
			out[n].Inet6++
		}
	}
	return out
}

// trailing is what columns leave behind the last one.
var trailing = regexp.MustCompile(`(?m) +$`)

func (s *summary) text(a *app) []byte {
	var b bytes.Buffer
	bold := a.paint(color.Bold)
	if s.Kernel != "" {
		fmt.Fprintf(&b, "%s %s\n", bold("kernel"), s.Kernel)
	}
	fmt.Fprintln(&b, bold("links"))
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, l := range s.Links {
		state := "down"
		if l.Up {
			state = "up"
			if !l.Carrier {
				state = "no carrier"
			}
		}
		what := l.Kind
		if l.Master != "" {
			what = strings.TrimSpace(what + " master " + l.Master)
		}
		fmt.Fprintf(w, "  %d\t%s\t%s\t%s\t%s\n", l.Index, l.Name, state, what, strings.Join(l.Addresses, " "))
	}
	w.Flush()
	for _, f := range []struct {
		name, mode string
		rules      []ruleSummary
	}{{"IPv4", s.Mode4, s.Rules4}, {"IPv6", s.Mode6, s.Rules6}} {
		note := ""
		if f.mode == modeText[fib.ModeMerged] {
			note = " (never touched: the kernel does not walk them)"
		}
		fmt.Fprintf(&b, "%s%s\n", bold(f.name+" rules"), note)
		for _, r := range f.rules {
			fmt.Fprintf(&b, "  %d:\t%s\n", r.Priority, r.Rule)
		}
	}
	fmt.Fprintln(&b, bold("tables"))
	w = tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, t := range s.Tables {
		fmt.Fprintf(w, "  %s\t%d IPv4\t%d IPv6\n", t.Table, t.Inet, t.Inet6)
	}
	w.Flush()
	fmt.Fprintf(&b, "%s %d\n%s %d\n", bold("nexthop objects"), s.Nexthops, bold("neighbours"), s.Neighbours)
	return trailing.ReplaceAll(b.Bytes(), nil)
}
