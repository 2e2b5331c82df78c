//go:build !linux

package netnstest

import "errors"

func missing() string { return "network namespaces need Linux" }

// Do returns errors.ErrUnsupported: only Linux has network namespaces, and [New]
// has skipped the test before.
func (ns *NS) Do(func() error) error { return errors.ErrUnsupported }
