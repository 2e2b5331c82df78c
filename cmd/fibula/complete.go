package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/ksync"
)

// queryWords are the keywords of a query, for the shell's completion.
var queryWords = []string{"fibmatch", "to", "from", "iif", "oif", "vrf", "tos", "mark", "uid", "ipproto", "sport", "dport", "flowlabel"}

// completeQuery proposes what may follow the words so far: a keyword, or the values
// of the keyword that stands last.
func (a *app) completeQuery(c *cobra.Command, words []string, _ string) ([]string, cobra.ShellCompDirective) {
	last := ""
	if len(words) > 0 {
		last = words[len(words)-1]
	}
	propose := queryWords
	switch last {
	case "iif", "oif":
		propose = a.linkNames(c.Context(), "")
	case "vrf":
		propose = a.linkNames(c.Context(), "vrf")
	case "ipproto":
		propose = []string{"tcp", "udp", "icmp", "ipv6-icmp"}
	case "to", "from", "tos", "mark", "uid", "sport", "dport", "flowlabel":
		propose = nil
	}
	return propose, cobra.ShellCompDirectiveNoFileComp
}

// linkNames are the links of the chosen source, or those of one kind. Nothing to
// propose is no error.
func (a *app) linkNames(ctx context.Context, kind string) []string {
	quiet := *a
	quiet.errs = io.Discard
	var st *fib.State
	if a.state != "" {
		st, _ = quiet.open(a.state)
	} else if live, _, err := ksync.Scan(ctx, ksync.Options{NetNS: a.namespace(), Tables: []fib.TableID{fib.TableDefault}}); err == nil {
		st = &live // without the routes, of which there may be a million
	}
	if st == nil {
		return nil
	}
	var names []string
	for i := range st.Links {
		if kind == "" || st.Links[i].Kind == kind {
			names = append(names, st.Links[i].Name)
		}
	}
	return names
}

func completeNetns(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	entries, _ := os.ReadDir("/run/netns") // nothing to propose is no error
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
