# An office router: two uplinks share the load three to one, private networks that
# are not ours go nowhere, guests may not reach the servers.
sysctl_ net.ipv4.conf.all.forwarding 1
sysctl_ net.ipv4.fib_multipath_hash_policy 1
sysctl_ net.ipv4.fib_multipath_hash_seed 20261123
link fibre
link cable
link office
link servers
link guests
ip_ addr add 198.51.100.2/30 dev fibre
ip_ addr add 203.0.113.10/24 dev cable
ip_ addr add 192.168.10.1/24 dev office
ip_ addr add 192.168.20.1/24 dev servers
ip_ addr add 192.168.30.1/24 dev guests
ip_ route add default nexthop via 198.51.100.1 weight 3 nexthop via 203.0.113.1 weight 1
ip_ route add blackhole 10.0.0.0/8
ip_ route add blackhole 172.16.0.0/12
ip_ route add unreachable 192.168.0.0/16
ip_ route add 192.168.40.0/24 via 192.168.20.2
ip_ route add default via 203.0.113.1 table 100
ip_ route add prohibit 192.168.20.0/24 table 100
ip_ rule add pref 100 iif guests table 100
