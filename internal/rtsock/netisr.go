package rtsock

import "fmt"

const (
	netisrLen   = 128
	netisrRoute = 3 // NETISR_ROUTE
)

// QueueDrops reads an answer to the sysctl net.isr.work: how many messages of the routing
// socket were dropped so far on their way to all sockets, which no socket tells.
func QueueDrops(b []byte) (drops uint64, err error) {
	for ; len(b) > 0; b = b[netisrLen:] {
		if len(b) < netisrLen || le.Uint32(b) != netisrLen {
			return 0, fmt.Errorf("net.isr.work: an entry of %d bytes is not of %d bytes", len(b), netisrLen)
		}
		if le.Uint32(b[8:]) == netisrRoute {
			drops += le.Uint64(b[48:])
		}
	}
	return drops, nil
}
