// Package ksync reads what a kernel routes with: links, addresses, rules,
// nexthop objects, the routes of both families, neighbours, address labels and
// the settings that matter, of one network namespace.
//
// # Where to start
//
// [Load] fills a [fib.FIB] with one complete scan, [Mirror] keeps one equal to a
// kernel, and can prove it ([Mirrored.Audit]). [Export] goes the other way: it keeps what an owner has in
// a kernel equal to a desired FIB; [OpenExporter] does so once.
// [Scan] returns the same as plain data, for a state file. [OpenQuerier] asks
// the kernel itself where flows go, for comparison.
//
// # One moment
//
// A dump is not atomic, and IPv4 does not even say when a table changed under
// it (F8). A scan therefore reads the small things (links, addresses, rules,
// nexthop objects, settings) before and after the routes and starts again if
// they differ, or if the kernel marks a dump as interrupted. What can still slip
// through is a change of routes alone, while they are read.
//
// # What it needs
//
// Linux 4.20 or newer, for dumps filtered by the kernel. Reading needs no
// privilege; entering another namespace and exporting do.
//
// On FreeBSD 14 or newer, of 64 bits, Load, Scan and Mirror read the network stack that
// the process is in: FIB 0 as table main, FIB n as table n (from 253 on, 65536 + n). That
// is for reading, saving and looking at tables. How FreeBSD decides is not modelled: a
// FIB answers as Linux with these tables would.
//
// All else, and all on other systems, returns an error that wraps errors.ErrUnsupported.
package ksync
