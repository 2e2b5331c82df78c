// Package netnstest gives tests throw-away network namespaces: a kernel to ask,
// with nothing of the machine's own network in it.
//
//	ns := netnstest.New(t, netnstest.Quiet, netnstest.LoUp)
//	ns.IP("link add v0 type veth peer name v1")
//	ns.IP("link set v0 up")
//	ns.IP("link set v1 up")
//	ns.Settle()
//	err := ns.Do(func() error { return dumpLinks() })
//
// Start with [New]. A namespace is made with "ip netns add", so that "ip -n NAME"
// and "fibula -n NAME" find it by [NS.Name]; it goes when the test ends.
//
// Without root, the ip command or Linux, [New] and [Require] skip the test and say
// why. Where the environment has CI=true they fail it instead: there, a kernel
// test that did not run is a hole in the evidence.
package netnstest
