package daemon

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// What crosses the socket is frames: a byte that says what it is, four bytes of length
// (big-endian), and so many bytes. A client sends one request, then the bytes of its
// standard input if the request says so; the server sends what belongs on the client's standard output
// and standard error, and at last how it ended.
const (
	frameRequest = 'q' // Request as JSON
	frameInput   = 'i' // empty: the input ends
	frameOutput  = 'o'
	frameError   = 'e'
	frameExit    = 'x' // Exit as JSON
)

const (
	protocol   = 1
	maxFrame   = 64 << 10
	maxRequest = 256 << 10 // more than a command line of words that mean something
	headerSize = 5
)

// Request is what a client asks for.
type Request struct {
	Protocol int             `json:"protocol"` // filled in by Ask
	Verb     string          `json:"verb"`
	Words    []string        `json:"words,omitempty"`
	Options  json.RawMessage `json:"options,omitempty"` // as client and handler agreed
	Input    bool            `json:"input,omitempty"`   // standard input follows
}

// Exit is how a call ended.
type Exit struct {
	Code       int    `json:"code"`
	Generation uint64 `json:"generation"` // of the snapshot that answered; 0: none did
}

var errFrame = errors.New("what was sent is not what fibula speaks over its socket")

// writeFrame writes one frame in one call of w.
func writeFrame(w io.Writer, kind byte, data []byte) error {
	b := make([]byte, headerSize, headerSize+len(data))
	b[0] = kind
	binary.BigEndian.PutUint32(b[1:], uint32(len(data)))
	_, err := w.Write(append(b, data...))
	return err
}

func writeJSONFrame(w io.Writer, kind byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFrame(w, kind, b)
}

// readFrame reads one frame of at most limit bytes. Memory comes as the bytes do, not as
// a length announces them.
func readFrame(r io.Reader, limit uint32) (kind byte, data []byte, err error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > limit {
		return 0, nil, fmt.Errorf("%w: a frame of %d bytes, where %d are the most", errFrame, n, limit)
	}
	data, err = io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && len(data) < int(n) {
		err = io.ErrUnexpectedEOF
	}
	return head[0], data, err
}

// frameWriter writes a stream as frames of one kind.
type frameWriter struct {
	w    io.Writer
	kind byte
}

func (f frameWriter) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		part := b[:min(len(b), maxFrame)]
		if err := writeFrame(f.w, f.kind, part); err != nil {
			return n, err
		}
		n, b = n+len(part), b[len(part):]
	}
	return n, nil
}
