# An overlay VPN's rules (5210 … 5270, table 52) beside those of a multi-WAN
# manager (1001 …, 2001 …), which keeps every default route out of table main.
link wan1
link wan2
link lan
link overlay0 mtu 1280
ip_ addr add 198.51.100.2/24 dev wan1
ip_ addr add 203.0.113.2/24 dev wan2
ip_ addr add 192.168.50.1/24 dev lan
ip_ addr add 100.101.102.103/32 dev overlay0
sysctl_ net.ipv4.conf.all.forwarding 1

ip_ route add default via 198.51.100.1 dev wan1 table 1
ip_ route add 192.168.50.0/24 dev lan scope link table 1
ip_ route add default via 203.0.113.1 dev wan2 table 2
ip_ route add 192.168.50.0/24 dev lan scope link table 2
ip_ rule add pref 1001 iif wan1 table 1
ip_ rule add pref 1002 iif wan2 table 2
ip_ rule add pref 2001 fwmark 0x100/0x3f00 table 1
ip_ rule add pref 2002 fwmark 0x200/0x3f00 table 2
ip_ rule add pref 2061 fwmark 0x3d00/0x3f00 blackhole
ip_ rule add pref 2062 fwmark 0x3e00/0x3f00 unreachable

ip_ route add 100.64.0.7/32 dev overlay0 table 52
ip_ route add 100.100.100.100/32 dev overlay0 table 52
ip_ route add 10.99.0.0/16 dev overlay0 table 52
ip_ route add throw 127.0.0.0/8 table 52
ip_ rule add pref 5210 fwmark 0x80000/0xff0000 table main
ip_ rule add pref 5230 fwmark 0x80000/0xff0000 table default
ip_ rule add pref 5250 fwmark 0x80000/0xff0000 unreachable
ip_ rule add pref 5270 table 52
