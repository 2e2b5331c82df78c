package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Notifier tells the service manager how the service is (sd_notify). The zero value, and nil, tell
// nobody.
type Notifier struct {
	socket string
	every  time.Duration // of the watchdog; 0: none
}

// NotifierFromEnv is what the environment of a unit with Type=notify asks for.
func NotifierFromEnv() *Notifier { return notifierFrom(os.Getenv, os.Getpid()) }

func notifierFrom(getenv func(string) string, pid int) *Notifier {
	n := &Notifier{socket: getenv("NOTIFY_SOCKET")}
	us, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	if p := getenv("WATCHDOG_PID"); err == nil && us > 0 && (p == "" || p == strconv.Itoa(pid)) {
		n.every = time.Duration(us) * time.Microsecond
	}
	return n
}

const notifyPatience = 2 * time.Second

// Notify sends lines such as READY=1. Without a service manager it does nothing.
func (n *Notifier) Notify(lines ...string) error {
	if n == nil || n.socket == "" {
		return nil
	}
	// A name that begins with @ is abstract; package net knows that.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err == nil {
		// A manager that does not read must not hold the service up.
		_ = conn.SetWriteDeadline(time.Now().Add(notifyPatience))
		_, err = conn.Write([]byte(strings.Join(lines, "\n")))
		err = errors.Join(err, conn.Close())
	}
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}

// Ready tells that the service works.
func (n *Notifier) Ready(status string) error { return n.Notify("READY=1", "STATUS="+status) }

// Reloading tells that the configuration is read anew, until Ready.
func (n *Notifier) Reloading() error {
	return n.Notify("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(monotonic().Microseconds(), 10))
}

// Stopping tells that the service ends.
func (n *Notifier) Stopping() error { return n.Notify("STOPPING=1") }

// Watchdog tells the service manager, as often as that wants to hear it, that the
// service is alive, while alive says so. It returns when ctx ends.
func (n *Notifier) Watchdog(ctx context.Context, alive func() bool) {
	if n == nil || n.every == 0 {
		return
	}
	tick := time.NewTicker(n.every / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if alive() {
				_ = n.Notify("WATCHDOG=1") // once more before it is too late
			}
		}
	}
}
