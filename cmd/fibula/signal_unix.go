//go:build unix

package main

import (
	"os"
	"syscall"
)

// reloadSignals ask a service to read its configuration anew.
var reloadSignals = []os.Signal{syscall.SIGHUP}
