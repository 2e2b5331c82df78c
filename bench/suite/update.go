package suite

import "context"

// Update is to come.
func (b *Bench) Update(context.Context) error { return nil }
