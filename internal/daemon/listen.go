package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"
)

// socketMode: who may ask is the socket's owner and group.
const socketMode = 0o660

// maxSocketPath is how long a path is that every system takes.
const maxSocketPath = 103

// ListenUnix makes a socket at path and listens on it. One that a daemon left behind when it
// was killed is replaced; one that is answered on, and a file that is no socket, are errors.
// Closing the listener removes the socket, if it is still the one that was made.
func ListenUnix(ctx context.Context, path string) (net.Listener, error) {
	l, err := listenUnix(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, reasonOf(err))
	}
	return l, nil
}

func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("the path is longer than %d bytes, which systems do not take for a socket", maxSocketPath)
	}
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	lc := net.ListenConfig{Control: modeBeforeBind}
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	ul := l.(*net.UnixListener)
	ul.SetUnlinkOnClose(false)
	own := &ownSocket{UnixListener: ul, path: path}
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(err, ul.Close(), os.Remove(path))
	}
	if own.info, err = os.Lstat(path); err != nil {
		return nil, errors.Join(err, ul.Close())
	}
	return own, nil
}

// removeStale makes way for a socket.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("there is a file that is no socket; remove it, or choose another path")
	}
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		conn.Close()
		return errors.New("another daemon serves it; stop that one, or choose another path")
	}
	if !isRefused(err) {
		return fmt.Errorf("there is a socket of which it cannot be told whether a daemon serves it: %w", reasonOf(err))
	}
	return os.Remove(path)
}

// ownSocket removes its file when it is closed.
type ownSocket struct {
	*net.UnixListener
	path string
	info fs.FileInfo
}

func (s *ownSocket) Close() error {
	if info, err := os.Lstat(s.path); err == nil && os.SameFile(info, s.info) && info.ModTime().Equal(s.info.ModTime()) {
		_ = os.Remove(s.path) // closing is what matters
	}
	return s.UnixListener.Close()
}
