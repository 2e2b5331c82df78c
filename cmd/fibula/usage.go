package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// noSuchCommand refuses words where a command was expected, and says which one
// may have been meant.
func noSuchCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())
	if c.SuggestionsMinimumDistance == 0 {
		c.SuggestionsMinimumDistance = 2
	}
	meant := c.SuggestionsFor(args[0])
	if _, isNot := netip.ParseAddr(args[0]); isNot == nil {
		meant = []string{"get " + args[0]}
	}
	if len(meant) > 0 {
		err = fmt.Errorf("%w; did you mean %q?", err, c.CommandPath()+" "+meant[0])
	}
	return err
}

// negativeWords keeps a word such as -1, a wrong value of a query, from being taken
// for options: it and what follows are words.
func negativeWords(args []string) []string {
	for i, a := range args {
		if a == "--" {
			return args
		}
		if n, err := strconv.Atoi(a); err == nil && n < 0 && a != "-4" && a != "-6" && i > 0 && !strings.HasPrefix(args[i-1], "-") {
			return slices.Insert(slices.Clone(args), i, "--")
		}
	}
	return args
}

// exclusive refuses more than one of flags.
func exclusive(c *cobra.Command, flags []string) error {
	var given []string
	for _, name := range flags {
		if c.Flags().Changed(name) {
			given = append(given, "--"+name)
		}
	}
	if len(given) > 1 {
		return fmt.Errorf("%s exclude each other; give one", strings.Join(given, " and "))
	}
	return nil
}

// wrongFlag tells of a number that is none, without the words of package strconv.
func wrongFlag(_ *cobra.Command, err error) error {
	cause, ok := errors.AsType[*strconv.NumError](err)
	if !ok {
		return err
	}
	what, _, _ := strings.Cut(err.Error(), ": strconv.")
	switch {
	case errors.Is(cause, strconv.ErrRange):
		return fmt.Errorf("%s: the number is too large or too small", what)
	case cause.Func == "ParseUint":
		return fmt.Errorf("%s: expected a whole number from 0", what)
	}
	return fmt.Errorf("%s: expected a whole number", what)
}

// wrapUsage breaks a usage line before its brackets, as an indented block: what a
// manual page sets as it stands.
func wrapUsage(usage string) string {
	const indent, width = "    ", 76
	var b strings.Builder
	room := 0
	for i, part := range strings.Split(usage, " [ ") {
		if i > 0 {
			part = "[ " + part
		}
		switch {
		case i == 0:
			b.WriteString(indent)
			room = width - len(indent)
		case len(part)+1 > room:
			b.WriteString("\n" + indent)
			room = width - len(indent)
		default:
			b.WriteByte(' ')
			room--
		}
		b.WriteString(part)
		room -= len(part)
	}
	return b.String()
}
