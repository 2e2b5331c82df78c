package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/iproute"
)

// maxLine bounds a line of a batch file; a query is far shorter.
const maxLine = 64 << 10

// batch answers the lines of a file.
type batch struct {
	a      *app
	env    iproute.Env
	s      *fib.Snapshot
	p      *iproute.Printer
	file   string
	words  []string // used again
	buf    []byte   // used again
	failed bool
	unsure int // answers that are not certain
}

func (a *app) getBatch(ctx context.Context, file string) error {
	in := a.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("--batch: %w", err)
		}
		defer f.Close()
		in = f
	} else {
		file = "standard input"
	}
	if a.socket != "" {
		return a.ask(ctx, "get", nil, in, a.out, askedOptions{Batch: file})
	}
	return a.batchFrom(ctx, in, file)
}

// batchFrom answers the lines of in, which messages call file.
func (a *app) batchFrom(ctx context.Context, in io.Reader, file string) error {
	names := a.names()
	s, err := a.load(ctx)
	if err != nil {
		return err
	}
	b := &batch{a: a, env: a.env(names), s: s, p: a.printer(names, s), file: file}
	a.wrote = true
	out := bufio.NewWriterSize(a.out, 1<<18)
	err = b.run(ctx, bufio.NewReaderSize(in, maxLine), out)
	if ferr := out.Flush(); err == nil && ferr != nil {
		err = fmt.Errorf("write the answers: %w", ferr)
	}
	if b.unsure > 0 && !a.json {
		fmt.Fprintf(a.errs, "fibula: not certain: answers that depend on what the kernel does not show: %d; -j marks them as undetermined\n", b.unsure)
	}
	if err == nil && b.failed {
		return &exitError{code: iproute.ExitInput}
	}
	return err
}

var errLineTooLong = fmt.Errorf("the line is longer than %d bytes: a query is one line of words", maxLine)

func (b *batch) run(ctx context.Context, in *bufio.Reader, out *bufio.Writer) error {
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		line, more, err := readLine(in)
		first := n
		for err == nil && more { // a backslash joins lines
			n++
			var next string
			if next, more, err = readLine(in); len(line)+len(next) > maxLine {
				line, err = "", errLineTooLong
			} else {
				line += next
			}
		}
		if err != nil && err != io.EOF && err != errLineTooLong {
			return fmt.Errorf("read line %d of %s: %w", n, b.file, err)
		}
		b.buf = b.buf[:0]
		if err == errLineTooLong {
			b.wrong(first, err)
		} else {
			b.line(first, line)
		}
		if _, werr := out.Write(b.buf); werr != nil {
			return fmt.Errorf("write the answers: %w", werr)
		}
		if err == io.EOF {
			return nil
		}
		if in.Buffered() == 0 {
			// Whoever writes the lines one by one wants the answers so.
			if werr := out.Flush(); werr != nil {
				return fmt.Errorf("write the answers: %w", werr)
			}
		}
	}
}

// readLine returns a line, and whether the next one continues it.
func readLine(in *bufio.Reader) (line string, more bool, err error) {
	b, err := in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = in.ReadSlice('\n')
		}
		if err == nil || err == io.EOF {
			err = errLineTooLong
		}
		return "", false, err
	}
	line, more = iproute.Continues(string(b))
	return line, more, err
}

// line appends the answer to one line to b.buf.
func (b *batch) line(n int, line string) {
	var err error
	if b.words, err = iproute.SplitLine(b.words[:0], line); err != nil {
		b.wrong(n, err)
		return
	}
	if len(b.words) == 0 {
		return
	}
	q, err := iproute.ParseGet(b.words, b.env)
	if err != nil {
		b.wrong(n, err)
		return
	}
	f, err := q.Flow(b.s)
	if err != nil {
		b.wrong(n, err)
		return
	}
	ans := q.Answer(b.s, &f, b.p.JSON)
	if ans.Decision.Undetermined != 0 {
		b.unsure++
	}
	b.failed = b.failed || ans.Errno != 0
	switch {
	case b.p.JSON:
		b.buf = b.p.AppendAnswer(b.buf, &ans)
	case ans.Errno != 0:
		fmt.Fprintf(b.a.errs, "%s:%d: %s\n", b.file, n, iproute.Answers(ans.Errno))
	default:
		b.buf = b.p.AppendReply(b.buf, &ans.Reply)
	}
}

// wrong tells of a line that cannot be asked.
func (b *batch) wrong(n int, err error) {
	b.failed = true
	if b.p.JSON {
		b.buf = b.p.AppendError(b.buf, err)
		return
	}
	fmt.Fprintf(b.a.errs, "%s:%d: %v\n", b.file, n, err)
}
