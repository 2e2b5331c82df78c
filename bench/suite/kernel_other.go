//go:build !linux

package suite

import "context"

// Kernel notes that there is none to compare with.
func (b *Bench) Kernel(context.Context) error {
	b.Run.Skip("kernel", "only Linux can be compared with")
	return nil
}
