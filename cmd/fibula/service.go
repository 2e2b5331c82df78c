package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/daemon"
	"github.com/fibula-net/fibula/iproute"
)

// service is a command that runs until it is told to end.
type service struct {
	a      *app
	socket string
	listen string
	maxAge time.Duration
	level  string
	format string
}

var (
	logLevels  = []string{"debug", "info", "warn", "error"}
	logFormats = []string{"text", "json"}
)

// flags adds the options that all services have.
func (s *service) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.socket, "socket", "", "answer get, explain, audit, monitor and state save on this unix `socket`")
	f.StringVar(&s.listen, "listen", "", "serve /metrics and /healthz at this `address`, such as 127.0.0.1:9176")
	f.DurationVar(&s.maxAge, "max-age", 10*time.Second, "count as unhealthy when not known to be equal to the kernel for this `long`")
	f.StringVar(&s.level, "log-level", "info", "log this and worse: debug, info, warn or error")
	f.StringVar(&s.format, "log-format", "text", "log as text or json")
	for flag, words := range map[string][]string{"log-level": logLevels, "log-format": logFormats} {
		_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
}

// wanted reports whether anything was asked for that needs a service.
func (s *service) wanted() bool {
	return s.socket != "" || s.listen != "" || os.Getenv("NOTIFY_SOCKET") != ""
}

// check refuses values that the options do not have.
func (s *service) check() error {
	switch {
	case !slices.Contains(logLevels, s.level):
		return fmt.Errorf("--log-level %q: use debug, info, warn or error", s.level)
	case !slices.Contains(logFormats, s.format):
		return fmt.Errorf("--log-format %q: use text or json", s.format)
	case s.maxAge <= 0:
		return fmt.Errorf("--max-age %v: give a time above 0", s.maxAge)
	}
	return nil
}

// logger writes to standard error, as a service manager expects.
func (s *service) logger() *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.level)) // checked
	opt := &slog.HandlerOptions{Level: level}
	if s.format == "json" {
		return slog.New(slog.NewJSONHandler(s.a.errs, opt))
	}
	return slog.New(slog.NewTextHandler(s.a.errs, opt))
}

// run is a daemon around a mirror, until ctx ends.
func (s *service) run(ctx context.Context, m *mirroring) error {
	a, log := s.a, s.logger()
	hup := make(chan os.Signal, 1)
	if len(reloadSignals) > 0 { // none would mean all
		signal.Notify(hup, reloadSignals...)
		defer signal.Stop(hup)
	}
	m.opt.Logger = log
	mirror, err := m.start(ctx)
	if err != nil {
		return err
	}
	defer mirror.Close()
	names, v := a.namesOnce(), versionOf(debug.ReadBuildInfo())
	answers := &served{m: mirror, engine: a.engine, journal: m.journal, heavy: make(chan struct{}, 1)}
	d := daemon.New(mirror, daemon.Options{
		Socket: s.socket, Handler: answers.handle, Listen: s.listen, MaxAge: s.maxAge, Logger: log, Notifier: daemon.NotifierFromEnv(),
		Build: daemon.Build{Version: v.Version, Go: v.Go, Platform: v.Platform}, TableName: tableLabel(names), ProtocolName: protocolLabel(names), Reloads: hup,
	})
	answers.stale = d.Health
	if err := d.Run(ctx); ctx.Err() == nil {
		return err
	}
	return nil // to be told to end is no failure
}

// tableLabel names tables as ip does, as long as the name leads back to the table.
func tableLabel(names *iproute.Names) func(fib.TableID) string {
	return func(id fib.TableID) string {
		name := names.TableName(uint32(id))
		if back, err := names.Table(name); err != nil || back != uint32(id) || !utf8.ValidString(name) {
			return fmt.Sprint(uint32(id))
		}
		return name
	}
}

func protocolLabel(names *iproute.Names) func(fib.Protocol) string {
	return func(p fib.Protocol) string {
		name := names.ProtocolName(uint8(p))
		if back, err := names.Protocol(name); err != nil || back != uint8(p) || !utf8.ValidString(name) {
			return fmt.Sprint(uint8(p))
		}
		return name
	}
}
