package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/ksync"
)

// Mirror is what keeps a FIB equal to a namespace: a *ksync.Mirrored.
type Mirror interface {
	FIB() *fib.FIB
	Stats() ksync.MirrorStats
	Age() time.Duration
	Audit(context.Context) (ksync.Certificate, error)
	Done() <-chan struct{}
	Err() error
}

var _ Mirror = (*ksync.Mirrored)(nil)

// Options say what a daemon offers. What is not set is not offered.
type Options struct {
	Socket  string  // path of the control socket
	Handler Handler // answers what is asked there
	Limits  Limits
	Listen  string // address for metrics and health
	// MaxAge is how long the FIB may not be known to be equal to the kernel before the
	// daemon counts as unhealthy; 0: 10 s.
	MaxAge  time.Duration
	Build   Build       // for build_info
	Metrics []Collector // beside the mirror's
	// How metrics call tables and protocols; each name stands for one of them only.
	TableName    func(fib.TableID) string
	ProtocolName func(fib.Protocol) string
	Notifier     *Notifier
	Logger       *slog.Logger // nil: silence
	// Reload is called when Reloads says so: on SIGHUP.
	Reload  func(context.Context) error
	Reloads <-chan os.Signal
	// Also, if not nil, says what else is wrong, as health.
	Also func() error
	// Work, if not nil, is what the daemon does beside. When its context ends it leaves
	// things in order, which may take long, and Run waits for that. Its error ends the daemon.
	Work func(context.Context) error
	// Ready, if not nil, is called when everything works, with the address of Listen.
	Ready func(web net.Addr)
}

const defaultMaxAge = 10 * time.Second

// Build says what runs.
type Build struct{ Version, Go, Platform string }

// Daemon is a mirror with what surrounds it.
type Daemon struct {
	m   Mirror
	opt Options
	log *slog.Logger
}

// New makes a daemon around a mirror that runs.
func New(m Mirror, opt Options) *Daemon {
	if opt.MaxAge <= 0 {
		opt.MaxAge = defaultMaxAge
	}
	if opt.TableName == nil {
		opt.TableName = func(id fib.TableID) string { return strconv.FormatUint(uint64(id), 10) }
	}
	if opt.ProtocolName == nil {
		opt.ProtocolName = func(p fib.Protocol) string { return strconv.Itoa(int(p)) }
	}
	d := &Daemon{m: m, opt: opt, log: opt.Logger}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	return d
}

// Health is nil while the FIB is known to be equal to the kernel, or was so not long
// ago; otherwise it says what is wrong.
func (d *Daemon) Health() error {
	select {
	case <-d.m.Done():
		return fmt.Errorf("the mirror has ended: %w", d.m.Err())
	default:
	}
	if age := d.m.Age(); age > d.opt.MaxAge {
		st := d.m.Stats()
		return fmt.Errorf("not known to be equal to the kernel for %v, where %v is the limit: in doubt %d, failed looks %d",
			age.Round(time.Millisecond), d.opt.MaxAge, st.Doubts, st.Failures)
	}
	return nil
}

// health is Health, and what else is wrong.
func (d *Daemon) health() error {
	if err := d.Health(); err != nil || d.opt.Also == nil {
		return err
	}
	return d.opt.Also()
}

// Run offers what the options say until ctx ends, which is no error, or the mirror does.
// When it returns, all is closed and nothing of it runs any more; the mirror is the caller's.
func (d *Daemon) Run(ctx context.Context) (err error) {
	living, die := context.WithCancel(context.WithoutCancel(ctx)) // longer than ctx: until all is in order
	ctx, stop := context.WithCancelCause(ctx)
	var parts, life sync.WaitGroup
	defer func() {
		stop(nil)
		d.told(d.opt.Notifier.Stopping())
		d.log.Info("stopping")
		parts.Wait()
		die()
		life.Wait()
	}()
	part := func(fn func(context.Context) error) {
		parts.Go(func() {
			if err := fn(ctx); err != nil && ctx.Err() == nil {
				stop(err)
			}
		})
	}
	var addr net.Addr
	if d.opt.Socket != "" {
		l, err := ListenUnix(ctx, d.opt.Socket)
		if err != nil {
			return err
		}
		s := &Server{Handler: d.opt.Handler, Limits: d.opt.Limits, Logger: d.log}
		part(func(ctx context.Context) error { return s.Serve(ctx, l) })
	}
	if d.opt.Listen != "" {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", d.opt.Listen)
		if err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
		addr = l.Addr()
		part(func(ctx context.Context) error { return d.serveWeb(ctx, l) })
	}
	alive := d.alive()
	life.Go(func() { d.opt.Notifier.Watchdog(living, func() bool { return ctx.Err() != nil || alive() }) })
	if d.opt.Work != nil {
		part(d.opt.Work)
	}
	part(d.watchHealth)
	part(d.reloads)
	part(func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-d.m.Done():
			return d.m.Err()
		}
	})
	gen := d.m.FIB().Snapshot().Generation()
	d.told(d.opt.Notifier.Ready(fmt.Sprintf("equal to the kernel at generation %d", gen)))
	at := ""
	if addr != nil {
		at = addr.String()
	}
	d.log.Info("ready", slog.Uint64("generation", gen), slog.String("socket", d.opt.Socket), slog.String("listen", at))
	if d.opt.Ready != nil {
		d.opt.Ready(addr)
	}
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (d *Daemon) told(err error) {
	if err != nil {
		d.log.Warn("notify failed", slog.Any("cause", err))
	}
}

// alive makes a function that reports whether the mirror has done anything since it was
// called last, or had nothing to do.
func (d *Daemon) alive() func() bool {
	var last uint64
	return func() bool {
		st := d.m.Stats()
		now := st.Commits + st.Looks + st.Polled + st.Failures + st.Audits + st.Overruns
		moved := now != last
		last = now
		return moved || d.m.Age() <= d.opt.MaxAge
	}
}

// healthEvery is how often health is looked at for the log.
const healthEvery = time.Second

// watchHealth logs when health is lost and found.
func (d *Daemon) watchHealth(ctx context.Context) error {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	well := true
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := d.health()
		switch {
		case err != nil && well:
			d.log.Warn("lockstep lost", slog.Any("cause", err))
			_ = d.opt.Notifier.Notify("STATUS=" + err.Error())
		case err == nil && !well:
			gen := d.m.FIB().Snapshot().Generation()
			d.log.Info("lockstep regained", slog.Uint64("generation", gen))
			_ = d.opt.Notifier.Notify(fmt.Sprintf("STATUS=equal to the kernel at generation %d", gen))
		}
		well = err == nil
	}
}

func (d *Daemon) reloads(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-d.opt.Reloads:
			if !ok {
				return nil
			}
		}
		d.told(d.opt.Notifier.Reloading())
		d.log.Info("reloading")
		var err error
		if d.opt.Reload != nil {
			err = d.opt.Reload(ctx)
		}
		if ctx.Err() != nil { // the end came before what became of it
			return nil
		}
		if err != nil {
			d.log.Error("reload failed", slog.Any("cause", err)) // and all stays as it was
		} else {
			d.log.Info("reloaded")
		}
		d.told(d.opt.Notifier.Ready(fmt.Sprintf("generation %d", d.m.FIB().Snapshot().Generation())))
	}
}
