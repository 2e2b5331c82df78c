# A cluster node with two interfaces and 200 pods: a rule to each pod and one from
# each, which leads every other pod out through the second interface.
sysctl_ net.ipv4.conf.all.forwarding 1
link eth0
link eth1
ip_ addr add 10.0.0.10/16 dev eth0
ip_ addr add 10.0.0.11/16 dev eth1 noprefixroute
ip_ route add default via 10.0.0.1 dev eth0
ip_ route add 10.0.0.1/32 dev eth1 scope link table 2
ip_ route add default via 10.0.0.1 dev eth1 table 2
ip_ rule add pref 1024 fwmark 0x80/0x80 table main
i=0
while [ $i -lt 200 ]; do
	pod=10.0.$((16 + i / 100)).$((10 + i % 100))
	link "pod$i"
	ip_ route add "$pod/32" dev "pod$i" scope link
	ip_ rule add pref 512 to "$pod" table main
	ip_ rule add pref 1536 from "$pod" table $((i % 2 == 0 ? 254 : 2))
	i=$((i + 1))
done
