// Package iproute speaks iproute2's languages: the words of "ip route get", the
// text and JSON that ip prints, the names in rt_tables and its neighbours, and
// the files that hold a whole namespace.
//
// # Where to start
//
// One query goes through four types, each usable alone:
//
//	q, err := iproute.ParseGet(args, iproute.Env{Names: names, UID: uid}) // words → Query
//	f, err := q.Flow(snapshot)                                            // names of links → fib.Flow
//	r := q.Reply(&f, &decision, &route)                                   // answer → Reply
//	out = printer.AppendReply(out, &r)                                    // Reply → text or JSON
//
// [Query] is what was asked, still with the names of links; [Query.String] is
// the way back. [Reply] is what ip decodes from the kernel's RTM_NEWROUTE, so a
// kernel's answer and fibula's print through the same [Printer]. [SplitLine]
// cuts a batch file into words. [Explainer] tells the story of a decision.
//
// [LoadNames] reads the names of tables, protocols, scopes, realms, groups and
// TOS values. [Open] reads state: fibula's own files ([ReadState],
// [WriteState]), what "ip -j" prints ([ReadCapture]) and what "ip route save"
// writes ([ReadRouteDump]).
//
// # Errors
//
// Wrong words are a [UsageError], which carries the exit code that ip has for
// the same mistake. Nothing here panics on input.
package iproute
