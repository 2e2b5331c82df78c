package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fibula-net/fibula/iproute"
)

func (a *app) stateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "state",
		Short: "Save, show or capture what answers depend on",
		Long: `The state of a network namespace is everything that its answers depend on. A
state file holds it: one self-contained JSON, readable, the same bytes for the
same state, gzipped or not.

--state takes a state file, and also what any Linux has to give without fibula:
a directory or tar of "ip -j -d" outputs (fibula state capture prints how to make
one), and files of "ip route save" and "ip rule save".`,
		Example: `  fibula state save router.json
  fibula get --state router.json 192.0.2.1`,
		Args: noSuchCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.stateSaveCommand(), a.stateShowCommand(), a.stateCaptureCommand())
	return c
}

func (a *app) stateSaveCommand() *cobra.Command {
	var gz bool
	c := &cobra.Command{
		Use:   "save [FILE]",
		Short: "Write a state file",
		Long: `Writes the state of a network namespace, or with --state of another file, as a
state file: to FILE, which appears when it is complete, or to standard output.`,
		Example: `  fibula state save router.json
  fibula state save -n blue --gzip blue.json.gz
  fibula state save --state capture.tar.gz router.json
  fibula state save -j | jq .rules
  fibula state save --socket /run/fibula/mirror.sock router.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			file := "-"
			if len(args) > 0 {
				file = args[0]
			}
			return a.stateSave(c.Context(), file, iproute.StateOptions{Gzip: gz || strings.HasSuffix(file, ".gz")})
		},
	}
	c.Flags().BoolVar(&gz, "gzip", false, "compress (implied by a FILE that ends in .gz)")
	a.socketFlag(c)
	return c
}

func (a *app) stateSave(ctx context.Context, file string, opts iproute.StateOptions) error {
	write := func(w io.Writer) error { return a.ask(ctx, "state save", nil, nil, w, askedOptions{Gzip: opts.Gzip}) }
	if a.socket == "" {
		st, err := a.scan(ctx)
		if err != nil {
			return err
		}
		write = func(w io.Writer) error { return iproute.WriteState(w, st, opts) }
	}
	var err error
	if file == "-" {
		err = write(a.out)
	} else {
		err = replaceFile(file, write)
	}
	if told := (*exitError)(nil); err == nil || errors.As(err, &told) {
		return err
	}
	return fmt.Errorf("state save: %w", err)
}

// replaceFile writes a file that is there in full or not at all. What is no plain
// file, such as a pipe, is written in place.
func replaceFile(file string, write func(io.Writer) error) (err error) {
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return closeAfter(f, write(f))
	}
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		if pe, ok := errors.AsType[*fs.PathError](err); ok { // it names the temporary file
			err = &fs.PathError{Op: "create", Path: file, Err: pe.Err}
		}
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the first error is the one to tell
		}
	}()
	if err := closeAfter(f, write(f)); err != nil {
		return err
	}
	if err := os.Chmod(f.Name(), 0o644); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

func closeAfter(f *os.File, err error) error {
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (a *app) stateShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show [FILE]",
		Short: "Show what is in a state file, or in a network namespace",
		Long: `Shows kernel, links, addresses, rules, tables with the number of their routes,
nexthop objects: of FILE, or of what --state, -n or --pid name.`,
		Example: `  fibula state show router.json
  fibula state show -n blue
  fibula state show -j router.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				if a.state != "" || a.netns != "" || a.pid != 0 {
					return fmt.Errorf("state show: both FILE %q and another source are given; give one", args[0])
				}
				a.state = args[0]
			}
			return a.stateShow(c.Context())
		},
	}
}

func (a *app) stateShow(ctx context.Context) error {
	names := a.names()
	st, err := a.scan(ctx)
	if err != nil {
		return err
	}
	s, err := loadState(st, a.fibConfig())
	if err != nil {
		return fmt.Errorf("state show: %w", err)
	}
	sum := summarize(st, s, names)
	if a.json {
		return a.writeJSON(sum)
	}
	return a.write(sum.text(a))
}

func (a *app) stateCaptureCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "capture",
		Short: "Print the command that captures a machine's state without fibula",
		Long: `Prints one line for the shell of any Linux with iproute2. Run there, it writes
"ip -j -d" outputs and settings into capture.tar.gz, which --state reads:

    ` + iproute.CaptureCommand,
		Example: `  fibula state capture
  fibula get --state capture.tar.gz 192.0.2.1
  fibula state capture -j`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.json {
				return a.writeJSON(map[string]string{"command": iproute.CaptureCommand})
			}
			return a.write([]byte(iproute.CaptureCommand + "\n"))
		},
	}
}
