package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var silent = slog.New(slog.DiscardHandler)

// socketPath is a path that is short enough for a socket.
func socketPath(t *testing.T) string {
	dir, err := os.MkdirTemp("", "fibula")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// serving runs a server until the test ends or stop is called, which waits for it.
func serving(t *testing.T, h Handler, lim Limits) (path string, stop func()) {
	t.Helper()
	path = socketPath(t)
	ctx, cancel := context.WithCancel(context.Background())
	l, err := ListenUnix(ctx, path)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- (&Server{Handler: h, Limits: lim, Logger: silent}).Serve(ctx, l) }()
	stop = sync.OnceFunc(func() { cancel(); assert.NoError(t, <-ended) })
	t.Cleanup(stop)
	return path, stop
}

// echo answers with the words, the input behind them, and the number of bytes as exit code.
func echo(_ context.Context, c *Call) Exit {
	n, err := fmt.Fprintf(c.Out, "%s %q\n", c.Verb, c.Words)
	m, err2 := io.Copy(c.Out, c.In)
	if err != nil || err2 != nil {
		return Exit{Code: -1}
	}
	fmt.Fprint(c.Errs, "done")
	return Exit{Code: n + int(m), Generation: 7}
}

type answer struct {
	Exit
	out, errs string
}

func asked(t *testing.T, path string, r Request, in io.Reader) (answer, error) {
	var out, errs bytes.Buffer
	e, err := Ask(t.Context(), path, r, in, &out, &errs)
	return answer{e, out.String(), errs.String()}, err
}

func TestAskIsAnswered(t *testing.T) {
	path, _ := serving(t, echo, Limits{})
	a, err := asked(t, path, Request{Verb: "get", Words: []string{"a", "b c"}}, nil)
	require.NoError(t, err)
	assert.Equal(t, answer{Exit{16, 7}, "get [\"a\" \"b c\"]\n", "done"}, a)

	long := strings.Repeat("0123456789\n", 100_000)
	a, err = asked(t, path, Request{Verb: "get", Input: true}, strings.NewReader(long))
	require.NoError(t, err)
	assert.Equal(t, "get []\n"+long, a.out)
	assert.Equal(t, 7+len(long), a.Code)
}

func TestInputIsAnsweredAsItComes(t *testing.T) {
	path, _ := serving(t, echo, Limits{})
	in, feed := io.Pipe()
	out, answers := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := Ask(t.Context(), path, Request{Verb: "get", Input: true}, in, answers, io.Discard)
		ended <- err
	}()
	buf := make([]byte, 100)
	for _, want := range []string{"get []\n", "one\n", "two\n"} {
		if want != "get []\n" {
			_, err := feed.Write([]byte(want))
			require.NoError(t, err)
		}
		n, err := out.Read(buf)
		require.NoError(t, err)
		assert.Equal(t, want, string(buf[:n]))
	}
	require.NoError(t, feed.Close())
	require.NoError(t, <-ended)
}

func TestHostileClientsAreDropped(t *testing.T) {
	lim := Limits{Request: 50 * time.Millisecond, Idle: 50 * time.Millisecond, Write: 50 * time.Millisecond}
	flood := func(ctx context.Context, c *Call) Exit {
		if c.Verb == "get" {
			return echo(ctx, c)
		}
		for {
			if _, err := c.Out.Write(make([]byte, maxFrame)); err != nil {
				return Exit{}
			}
		}
	}
	path, stop := serving(t, flood, lim)
	before := runtime.NumGoroutine()
	request := func(verb string) []byte {
		var b bytes.Buffer
		require.NoError(t, writeJSONFrame(&b, frameRequest, Request{Protocol: protocol, Verb: verb, Input: true}))
		return b.Bytes()
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "half a header": {'q', 0}, "half a request": request("get")[:20], "no request": {'i', 0, 0, 0, 0}, "a long frame": {'q', 255, 255, 255, 255},
		"no JSON": {'q', 0, 0, 0, 1, '{'}, "HTTP": []byte("GET / HTTP/1.1\r\n\r\n"), "no input after all": request("get"), "an endless answer not read": request("flood"),
		"a wrong frame": append(request("get"), 'q', 0, 0, 0, 0), "another version": []byte("q\x00\x00\x00\x0e{\"protocol\":9}"),
		"too long an input": append(request("get"), 'i', 0, 255, 255, 255),
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("unix", path)
			require.NoError(t, err)
			defer conn.Close()
			_, err = conn.Write(data)
			require.NoError(t, err)
			if name == "an endless answer not read" {
				for err == nil { // the server is gone when nothing can be written
					_, err = conn.Write([]byte{'i', 0, 0, 0, 1, 'x'})
				}
				return
			}
			_, err = io.ReadAll(conn) // until the server hangs up
			assert.True(t, err == nil || !errors.Is(err, os.ErrDeadlineExceeded), err)
		})
	}
	var a answer
	for err := errors.New("not asked"); err != nil || a.Code != 7; { // a slow machine may need longer than the limit
		a, err = asked(t, path, Request{Verb: "get"}, nil)
	}
	stop()
	waitGoroutines(t, before)
}

// waitGoroutines waits until no more than n are left.
func waitGoroutines(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > n; runtime.Gosched() {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines where there were %d:\n%s", runtime.NumGoroutine(), n, buf[:runtime.Stack(buf, true)])
		}
	}
}

func TestClientThatGoesAwayEndsItsCall(t *testing.T) {
	began, ended := make(chan bool), make(chan bool)
	path, _ := serving(t, func(ctx context.Context, _ *Call) Exit {
		began <- true
		<-ctx.Done()
		ended <- true
		return Exit{}
	}, Limits{})
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan error, 1)
	go func() {
		_, err := Ask(ctx, path, Request{Verb: "monitor"}, nil, io.Discard, io.Discard)
		told <- err
	}()
	<-began
	cancel()
	<-ended
	assert.ErrorIs(t, <-told, context.Canceled)
}

func TestServerThatStopsEndsItsCalls(t *testing.T) {
	began := make(chan bool)
	path, stop := serving(t, func(ctx context.Context, _ *Call) Exit {
		began <- true
		<-ctx.Done()
		return Exit{}
	}, Limits{})
	told := make(chan error, 1)
	go func() {
		_, err := asked(t, path, Request{Verb: "monitor"}, nil)
		told <- err
	}()
	<-began
	stop()
	assert.ErrorContains(t, <-told, "the daemon went away before it had answered")
	assert.NoFileExists(t, path)
}

func TestTooManyClientsAreToldSo(t *testing.T) {
	began, end := make(chan bool), make(chan bool)
	path, _ := serving(t, func(context.Context, *Call) Exit {
		began <- true
		<-end
		return Exit{}
	}, Limits{Clients: 2})
	var calls sync.WaitGroup
	for range 2 {
		calls.Go(func() {
			_, err := asked(t, path, Request{}, nil)
			assert.NoError(t, err)
		})
		<-began
	}
	a, err := asked(t, path, Request{}, nil)
	require.NoError(t, err)
	assert.Equal(t, answer{Exit{Code: 1}, "", "fibula: the daemon has as many clients as it takes; try again later\n"}, a)
	close(end)
	calls.Wait()
}

// poorListener cannot accept at first.
type poorListener struct {
	net.Listener
	fails []error
}

func (l *poorListener) Accept() (net.Conn, error) {
	if len(l.fails) > 0 {
		err := l.fails[0]
		l.fails = l.fails[1:]
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
	}
	return l.Listener.Accept()
}

func TestScarcityDoesNotEndTheServer(t *testing.T) {
	path := socketPath(t)
	ctx, cancel := context.WithCancel(t.Context())
	l, err := ListenUnix(ctx, path)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		ended <- (&Server{Handler: echo, Logger: silent}).Serve(ctx, &poorListener{l, []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED}})
	}()
	a, err := asked(t, path, Request{Verb: "get"}, nil)
	require.NoError(t, err)
	assert.Equal(t, 7, a.Code)
	cancel()
	assert.NoError(t, <-ended)
}

func TestPanicEndsOneCallOnly(t *testing.T) {
	path, _ := serving(t, func(ctx context.Context, c *Call) Exit {
		if c.Verb == "panic" {
			panic("bug")
		}
		return echo(ctx, c)
	}, Limits{})
	a, err := asked(t, path, Request{Verb: "panic"}, nil)
	require.NoError(t, err)
	assert.Equal(t, 1, a.Code)
	assert.Contains(t, a.errs, "which is a bug")
	a, err = asked(t, path, Request{Verb: "get"}, nil)
	require.NoError(t, err)
	assert.Equal(t, 7, a.Code)
}

func TestManyClientsAtOnce(t *testing.T) {
	path, _ := serving(t, echo, Limits{})
	var calls sync.WaitGroup
	for i := range 50 {
		calls.Go(func() {
			for range 10 {
				word := fmt.Sprint(i)
				a, err := asked(t, path, Request{Verb: "get", Words: []string{word}, Input: true}, strings.NewReader(word))
				if assert.NoError(t, err) {
					assert.Equal(t, fmt.Sprintf("get [%q]\n%s", word, word), a.out)
				}
			}
		})
	}
	calls.Wait()
}

func TestListenUnix(t *testing.T) {
	path := socketPath(t)
	l, err := ListenUnix(t.Context(), path)
	require.NoError(t, err)
	info, err := os.Lstat(path)
	require.NoError(t, err)
	assert.Equal(t, os.ModeSocket|0o660, info.Mode())

	_, err = ListenUnix(t.Context(), path)
	assert.ErrorContains(t, err, "another daemon serves it")

	l.(*ownSocket).UnixListener.Close() // as a daemon that was killed leaves it
	again, err := ListenUnix(t.Context(), path)
	require.NoError(t, err, "a stale socket is replaced")
	l.Close()
	assert.FileExists(t, path, "what another made is not removed")
	require.NoError(t, again.Close())
	assert.NoFileExists(t, path)

	require.NoError(t, os.WriteFile(path, []byte("precious"), 0o600))
	_, err = ListenUnix(t.Context(), path)
	assert.ErrorContains(t, err, "no socket")
	_, err = ListenUnix(t.Context(), path+strings.Repeat("x", 200))
	assert.ErrorContains(t, err, "longer than")
	_, err = ListenUnix(t.Context(), filepath.Join(path, "below"))
	assert.ErrorContains(t, err, path)
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{'q', 0, 0, 0, 2, '{', '}'})
	f.Add([]byte{'i', 0, 1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, data, err := readFrame(bytes.NewReader(b), maxFrame)
		if err != nil {
			return
		}
		var out bytes.Buffer
		require.NoError(t, writeFrame(&out, kind, data))
		assert.Equal(t, b[:out.Len()], out.Bytes())
	})
}
