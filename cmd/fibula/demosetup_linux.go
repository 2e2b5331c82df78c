package main

// The demo's router: two uplinks, a LAN, a VPN for some users. Each link is one
// end of a veth pair, whose other end stands for the world.

const (
	internetTable = 1000
	seedSysctl    = "net.ipv4.fib_multipath_hash_seed"
)

var demoSysctls = [][2]string{
	{"net.ipv4.ip_forward", "1"},
	{"net.ipv6.conf.all.forwarding", "1"},
	{"net.ipv4.conf.all.rp_filter", "2"},
	{"net.ipv4.fib_multipath_hash_policy", "1"},
	{"net.ipv6.fib_multipath_hash_policy", "1"},
	{seedSysctl, "20261123"}, // so that a leg can be told
	// Only what is configured here.
	{"net.ipv6.conf.default.addr_gen_mode", "1"},
	{"net.ipv6.conf.default.accept_dad", "0"},
	{"net.ipv6.conf.default.router_solicitations", "0"},
}

var demoLinks = []string{
	"link set lo up",
	"link add wan0 type veth peer name isp0",
	"link add wan1 type veth peer name isp1",
	"link add lan0 type veth peer name switch0",
	"link add vpn0 type veth peer name tunnel0",
	"link set isp0 up", "link set isp1 up", "link set switch0 up", "link set tunnel0 up",
	"link set wan0 up", "link set wan1 up", "link set lan0 up", "link set vpn0 mtu 1420 up",
	"addr add 198.51.100.2/24 dev wan0", "addr add 2001:db8:a::2/64 dev wan0",
	"addr add 203.0.113.2/24 dev wan1", "addr add 2001:db8:b::2/64 dev wan1",
	"addr add 10.20.0.1/16 dev lan0", "addr add 2001:db8:20::1/64 dev lan0",
	"addr add 10.99.0.2/30 dev vpn0", "addr add 2001:db8:99::2/126 dev vpn0",
}

var demoIPv4 = []string{
	// One table for each uplink, by mark and by source address.
	"route add default via 198.51.100.1 table 101",
	"route add throw 10.0.0.0/8 table 101",
	"route add default via 203.0.113.1 table 102",
	"route add throw 10.0.0.0/8 table 102",
	"rule add pref 100 fwmark 0x10000/0xff0000 table 101",
	"rule add pref 110 fwmark 0x20000/0xff0000 table 102",
	"rule add pref 200 from 198.51.100.2 table 101",
	"rule add pref 210 from 203.0.113.2 table 102",
	// Some users' traffic takes the VPN, but not to what is nearer than a default route.
	"route add default via 10.99.0.1 table 51820",
	"rule add pref 300 uidrange 2000-2099 table main suppress_prefixlength 0",
	"rule add pref 310 uidrange 2000-2099 table 51820",
	// No mail but from the mail server; guests stay inside.
	"rule add pref 400 uidrange 1000-65533 ipproto tcp dport 25 prohibit",
	"rule add pref 410 from 10.20.66.0/24 iif lan0 unreachable",
	// The internet's table, then what main has.
	"rule add pref 600 table 1000",
	"route add default nexthop via 198.51.100.1 weight 3 nexthop via 203.0.113.1 weight 1",
	"route add 10.30.0.0/16 via 10.20.0.30",
	"route add blackhole 10.0.0.0/8",
	"route add prohibit 172.16.0.0/12",
	"route add unreachable 192.168.0.0/16",
}

var demoIPv6 = []string{
	"route add default via 2001:db8:a::1 table 101",
	"route add default via 2001:db8:b::1 table 102",
	"rule add pref 100 fwmark 0x10000/0xff0000 table 101",
	"rule add pref 110 fwmark 0x20000/0xff0000 table 102",
	"rule add pref 200 from 2001:db8:a::2 table 101",
	"rule add pref 210 from 2001:db8:b::2 table 102",
	"route add default via 2001:db8:99::1 table 51820",
	"rule add pref 300 uidrange 2000-2099 table main suppress_prefixlength 0",
	"rule add pref 310 uidrange 2000-2099 table 51820",
	"rule add pref 400 uidrange 1000-65533 ipproto tcp dport 25 prohibit",
	"rule add pref 600 table 1000",
	"route add default nexthop via 2001:db8:a::1 weight 3 nexthop via 2001:db8:b::1 weight 1",
	"route add 2001:db8:30::/48 via 2001:db8:20::30",
	"route add blackhole fc00::/7",
	"route add prohibit 3fff::/20",
	"route add unreachable 2001:db8::/32",
}
