package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"sync"
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

// work is what a service does beside its mirror.
type work struct {
	// run works until its context ends, and then leaves things in order. It calls ready when
	// there is something to mirror.
	run     func(ctx context.Context, ready func()) error
	reload  func(context.Context) error
	health  func() error
	metrics []daemon.Collector
}

// run is a daemon around a mirror, until ctx ends. With w the mirror begins when w is
// ready: it need not follow what is about to be written.
func (s *service) run(ctx context.Context, m *mirroring, w *work) error {
	a, log, notifier := s.a, s.logger(), daemon.NotifierFromEnv()
	hup := make(chan os.Signal, 1)
	if len(reloadSignals) > 0 { // none would mean all
		signal.Notify(hup, reloadSignals...)
		defer signal.Stop(hup)
	}
	names, v := a.namesOnce(), versionOf(debug.ReadBuildInfo())
	opt := daemon.Options{
		Socket: s.socket, Listen: s.listen, MaxAge: s.maxAge, Logger: log, Notifier: notifier, Reloads: hup,
		Build: daemon.Build{Version: v.Version, Go: v.Go, Platform: v.Platform}, TableName: tableLabel(names), ProtocolName: protocolLabel(names),
	}
	worked := func() error { return nil } // ends the work and says how it ended
	if w != nil {
		job := startWork(ctx, w)
		worked = job.end
		defer func() { _ = job.end() }()
		select {
		case <-job.ready:
		case <-job.ended:
			return job.end()
		case <-ctx.Done():
			if err := notifier.Stopping(); err != nil {
				log.Warn("notify failed", slog.Any("cause", err))
			}
			log.Info("stopping")
			return job.end()
		}
		opt.Work, opt.Reload, opt.Also, opt.Metrics = job.until, w.reload, w.health, w.metrics
	}
	m.opt.Logger = log
	mirror, err := m.start(ctx)
	if err != nil {
		return err
	}
	defer mirror.Close()
	answers := newServed(mirror, a.engine, m.journal)
	opt.Handler = answers.handle
	d := daemon.New(mirror, opt)
	answers.stale = d.Health
	err = d.Run(ctx)
	if ctx.Err() != nil {
		err = nil // to be told to end is no failure
	}
	if errors.Is(err, errWorkEnded) {
		err = nil
	}
	return errors.Join(err, worked())
}

// job is work that runs.
type job struct {
	ready, ended chan struct{}
	stop         context.CancelFunc
	err          error // once ended is closed
}

func startWork(ctx context.Context, w *work) *job {
	ctx, stop := context.WithCancel(ctx)
	j := &job{ready: make(chan struct{}), ended: make(chan struct{}), stop: stop}
	go func() {
		defer close(j.ended)
		j.err = w.run(ctx, sync.OnceFunc(func() { close(j.ready) }))
	}()
	return j
}

// until waits for the end of the work, which it asks for when ctx ends.
func (j *job) until(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return j.end()
	case <-j.ended:
		return errWorkEnded
	}
}

// errWorkEnded ends a daemon with its work, whose own error is told once.
var errWorkEnded = errors.New("the work has ended")

func (j *job) end() error {
	j.stop()
	<-j.ended
	return j.err
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
