# What `wg-quick up` leaves behind with AllowedIPs = 0.0.0.0/0, ::/0.
link eth0
ip_ addr add 192.168.1.10/24 dev eth0
ip_ addr add 2001:db8:1::10/64 dev eth0
ip_ addr add fe80::10/64 dev eth0
ip_ route add default via 192.168.1.1 proto dhcp metric 100
ip_ -6 route add default via fe80::1 dev eth0 proto ra metric 1024
ip_ route add 10.20.0.0/16 via 192.168.1.2 proto static

link wg0 mtu 1420
ip_ addr add 10.200.0.2/32 dev wg0
ip_ addr add fd00:200::2/128 dev wg0
ip_ route add default dev wg0 table 51820
ip_ rule add not fwmark 51820 table 51820
ip_ rule add table main suppress_prefixlength 0
ip_ -6 route add default dev wg0 table 51820
ip_ -6 rule add not fwmark 51820 table 51820
ip_ -6 rule add table main suppress_prefixlength 0
