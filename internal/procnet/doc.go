// Package procnet reads what /proc tells of a network namespace and no netlink
// message does: the order in which links were created ([CreationOrder], from
// [ParseIGMP] and [ParseIGMP6]), the multicast groups they joined, and the kernel's
// release ([ParseRelease]). It works on the files' contents, on any system: package
// ksync reads them live, package iproute from a capture.
package procnet
