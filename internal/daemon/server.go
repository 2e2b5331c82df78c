package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"
)

// Call is a request that is being answered.
type Call struct {
	Request
	In        io.Reader // of the client; empty if it sends none
	Out, Errs io.Writer // of the client
}

// Handler answers a call. Its context ends when the client goes away or the server
// stops. It runs beside others.
type Handler func(context.Context, *Call) Exit

// Limits bound what clients can take from a server. Zero values mean the defaults.
type Limits struct {
	Clients int           // at a time; 256
	Request time.Duration // until a client has said what it wants; 5 s
	Idle    time.Duration // until more of a client's input comes; 10 min
	Write   time.Duration // until a client has taken some of what it is sent; 30 s
}

func (l Limits) withDefaults() Limits {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	if l.Clients <= 0 {
		l.Clients = 256
	}
	set(&l.Request, 5*time.Second)
	set(&l.Idle, 10*time.Minute)
	set(&l.Write, 30*time.Second)
	return l
}

// Server answers clients on a listener. Clients are not trusted: whatever they send or
// do not send, they get an error or lose their connection, and others notice nothing.
type Server struct {
	Handler Handler
	Limits  Limits
	Logger  *slog.Logger
}

// Serve answers until ctx ends or the listener fails, closes the listener and waits for all
// calls, which it interrupts.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, stop := context.WithCancel(ctx)
	var calls sync.WaitGroup
	defer calls.Wait()
	defer stop()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	lim := s.Limits.withDefaults()
	slots := make(chan struct{}, lim.Clients)
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() == nil && isScarce(err) {
				s.Logger.Warn("client not accepted", slog.Any("cause", err))
				pause(ctx, acceptAgain)
				continue
			}
			l.Close()
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept clients: %w", err)
		}
		select {
		case slots <- struct{}{}:
			calls.Go(func() {
				defer func() { <-slots }()
				s.serve(ctx, conn, lim)
			})
		default:
			s.Logger.Warn("client refused", slog.Int("clients", lim.Clients))
			calls.Go(func() { refuse(conn) })
		}
	}
}

// acceptAgain is how long to wait for descriptors or memory, which others free.
const acceptAgain = 100 * time.Millisecond

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// refuse tells a client that there are too many, if it listens at once.
func refuse(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	fail(conn, "the daemon has as many clients as it takes; try again later")
}

// fail ends a call with an error that the client's standard error gets.
func fail(w io.Writer, why string) {
	if writeFrame(w, frameError, fmt.Appendf(nil, "fibula: %s\n", why)) == nil {
		_ = writeJSONFrame(w, frameExit, Exit{Code: 1})
	}
}

// patient is a connection whose writes must each be taken within a time. Several
// goroutines may write frames to it.
type patient struct {
	net.Conn
	mu   sync.Mutex
	wait time.Duration
}

func (p *patient) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.SetWriteDeadline(time.Now().Add(p.wait)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

func (s *Server) serve(ctx context.Context, c net.Conn, lim Limits) {
	ctx, cancel := context.WithCancel(ctx)
	conn := &patient{Conn: c, wait: lim.Write}
	var reading sync.WaitGroup
	defer reading.Wait()
	defer conn.Close()
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer func() {
		// One client's question must not end what all others ask.
		if p := recover(); p != nil {
			s.Logger.Error("call failed", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			fail(conn, "the daemon failed on this question, which is a bug; its log has more")
		}
	}()

	_ = conn.SetReadDeadline(time.Now().Add(lim.Request))
	call, err := readRequest(conn)
	if err != nil {
		if !errors.Is(err, io.EOF) {
			s.Logger.Info("client dropped", slog.Any("cause", err))
			fail(conn, err.Error())
		}
		return
	}
	in, toCall := io.Pipe()
	call.In, call.Out, call.Errs = in, frameWriter{conn, frameOutput}, frameWriter{conn, frameError}
	defer in.Close()
	if !call.Input {
		toCall.Close()
	}
	reading.Go(func() {
		defer cancel()
		toCall.CloseWithError(readInput(conn, toCall, call.Input, lim.Idle))
	})
	begin := time.Now()
	exit := s.Handler(ctx, call)
	s.Logger.Debug("answered", slog.String("verb", call.Verb), slog.Int("code", exit.Code), slog.Uint64("generation", exit.Generation),
		slog.Duration("took", time.Since(begin)))
	if ctx.Err() == nil { // else it was interrupted, which is no answer
		_ = writeJSONFrame(conn, frameExit, exit)
	}
}

func readRequest(conn net.Conn) (*Call, error) {
	kind, data, err := readFrame(conn, maxRequest)
	if err != nil {
		return nil, err
	}
	c := &Call{}
	if kind != frameRequest {
		return nil, fmt.Errorf("%w: a frame of kind %q", errFrame, kind)
	}
	if err := json.Unmarshal(data, &c.Request); err != nil {
		return nil, fmt.Errorf("%w: %w", errFrame, err)
	}
	if c.Protocol != protocol {
		return nil, fmt.Errorf("client and daemon are of different versions of fibula (protocol %d and %d)", c.Protocol, protocol)
	}
	return c, nil
}

var (
	errGone = errors.New("the client went away")
	errIdle = errors.New("the client sent nothing for too long")
)

// readInput hands a client's input on, as fast as it is taken, and returns when the
// client is gone or does what it must not.
func readInput(conn net.Conn, to *io.PipeWriter, more bool, idle time.Duration) error {
	for {
		var wait time.Time
		if more {
			wait = time.Now().Add(idle)
		}
		if err := conn.SetReadDeadline(wait); err != nil {
			return errGone
		}
		kind, data, err := readFrame(conn, maxFrame)
		var ne net.Error
		switch {
		case errors.As(err, &ne) && ne.Timeout():
			return errIdle
		case err != nil:
			return errGone
		case !more || kind != frameInput:
			return errFrame
		case len(data) == 0:
			more = false
			to.Close()
		default:
			if _, err := to.Write(data); err != nil {
				more = false // the call wants no more; what is on its way has to be read still
			}
		}
	}
}
