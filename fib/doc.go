// Package fib is a whole Linux policy-routing FIB in memory: the rules, the
// tables and everything else on which a routing decision depends, for one
// network namespace.
//
// # Where to start
//
// [New] makes an empty FIB, [FIB.Update] changes it in transactions, and
// [FIB.Snapshot] returns what readers hold: an immutable [Snapshot] whose
// [Snapshot.Resolve] answers a [Flow] with a [Decision] and whose
// [Snapshot.Explain] tells the story of the same answer.
//
//	f := fib.New(fib.Config{})
//	_, err := f.Update(func(tx *fib.Txn) error { return tx.AddRoute(r, fib.OpAdd) })
//	d := f.Snapshot().Resolve(fib.Flow{Dst: dst})
//
// # The model
//
// The words are those of iproute2 and rtnetlink. A [Route] is what one
// RTM_NEWROUTE configures; routes under one prefix are aliases, kept in the
// kernel's order. Every table maps prefixes to small integers (package lookup),
// each of which names a leaf: the interned, shared list of the aliases of one
// prefix. A million routes through a hundred gateways have a hundred leaves.
//
// What the kernel derives by itself (the local, connected and broadcast routes
// of an address; the routes that fall when a link, an address or a nexthop
// goes) a transaction derives as well, so a FIB without a kernel behaves like
// one with. [Txn.Load] is the exception: it takes a state as dumped, which
// already contains what was derived.
//
// # Sources
//
// Behaviour is numbered (A11, B13, D40 …) as in docs/kernel-semantics.md, whose
// section I says where kernels differ.
package fib
