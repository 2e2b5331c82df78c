# A host with a prefix from each of two providers: what is sent from a provider's
# prefix leaves through that provider (RFC 8028).
link up0
link up1
ip_ addr add 2001:db8:a::10/64 dev up0
ip_ addr add fe80::a:10/64 dev up0
ip_ addr add 2001:db8:b::10/64 dev up1
ip_ addr add fe80::b:10/64 dev up1
ip_ addr add fd00:5::10/64 dev up1
ip_ -6 route add default from 2001:db8:a::/48 via fe80::1 dev up0 metric 1024 pref high
ip_ -6 route add default from 2001:db8:b::/48 via fe80::1 dev up1 metric 1024
ip_ -6 route add default via fe80::1 dev up0 metric 2048
ip_ -6 route add 2001:db8:ffff::/48 nexthop via 2001:db8:a::1 dev up0 weight 1 nexthop via 2001:db8:b::1 dev up1 weight 1
ip_ -6 route add unreachable fd00::/8
sysctl_ net.ipv4.fib_multipath_hash_seed 20261123
