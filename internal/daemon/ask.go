package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
)

// Ask puts a request to the daemon that serves a socket, and writes to out and errs what it
// answers, until it says how that ended. What in gives is sent on as it comes, if r.Input is
// set; a read of in may still wait when Ask returns.
//
// Errors name the socket. Where ctx ends first the error is its own.
func Ask(ctx context.Context, path string, r Request, in io.Reader, out, errs io.Writer) (Exit, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		if ctx.Err() != nil {
			return Exit{}, ctx.Err()
		}
		return Exit{}, fmt.Errorf("socket %s: %w; is the daemon running with --socket %[1]s?", path, reasonOf(err))
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	e, err := ask(conn, r, in, out, errs)
	switch {
	case ctx.Err() != nil:
		return Exit{}, ctx.Err()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return e, fmt.Errorf("socket %s: the daemon went away before it had answered", path)
	case err != nil:
		return e, fmt.Errorf("socket %s: %w", path, reasonOf(err))
	}
	return e, nil
}

// reasonOf is err without the address, which its reader knows.
func reasonOf(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// outError is an error of the client's own output.
type outError struct{ error }

func (e outError) Unwrap() error { return e.error }

func ask(conn net.Conn, r Request, in io.Reader, out, errs io.Writer) (Exit, error) {
	r.Protocol = protocol
	b, err := json.Marshal(r)
	if err != nil {
		return Exit{}, err
	}
	if len(b) > maxRequest {
		return Exit{}, fmt.Errorf("the words are %d bytes long, where %d are the most", len(b), maxRequest)
	}
	// A daemon that refuses may have answered before it was asked: then that is told.
	sent := writeFrame(conn, frameRequest, b)
	if r.Input && sent == nil {
		go sendInput(conn, in)
	}
	for {
		kind, data, err := readFrame(conn, maxFrame)
		if err != nil {
			return Exit{}, errors.Join(sent, err)
		}
		switch kind {
		case frameOutput:
			_, err = out.Write(data)
		case frameError:
			_, err = errs.Write(data)
		case frameExit:
			var e Exit
			if err := json.Unmarshal(data, &e); err != nil {
				return Exit{}, fmt.Errorf("%w: %w", errFrame, err)
			}
			return e, nil
		default:
			return Exit{}, fmt.Errorf("%w: a frame of kind %q", errFrame, kind)
		}
		if err != nil {
			return Exit{}, outError{fmt.Errorf("write the answer: %w", err)}
		}
	}
}

// sendInput sends what in gives, as it comes, until either side ends.
func sendInput(conn net.Conn, in io.Reader) {
	buf := make([]byte, maxFrame)
	for {
		n, err := in.Read(buf)
		if n > 0 && writeFrame(conn, frameInput, buf[:n]) != nil {
			return
		}
		if err != nil { // a server that waits for more learns that there is none
			_ = writeFrame(conn, frameInput, nil)
			return
		}
	}
}
