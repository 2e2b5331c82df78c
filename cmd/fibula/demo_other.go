//go:build !linux

package main

import (
	"context"
	"errors"
	"fmt"
)

func (d *demo) live(context.Context) error {
	return fmt.Errorf("a network namespace needs Linux: %w; use --state FILE", errors.ErrUnsupported)
}
