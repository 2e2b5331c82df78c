package fulltable

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const (
	module = "github.com/gaissmai/bart"
	inside = "internal/tests/testdata/prefixes.txt.gz"
)

// Get returns a full table in ascending order and says where it comes from: the
// real one, else a synthetic one of the same size.
func Get(ctx context.Context) (prefixes []netip.Prefix, origin string) {
	if real, err := Real(ctx); err == nil {
		return real, "the internet's table, from the test data of " + module
	}
	if ctx.Err() != nil {
		return nil, "" // the caller is about to stop
	}
	return Synthetic(907_000, 160_000, 1), "synthetic, with the lengths of the internet's table"
}

// Real reads the table from the module's directory: the one of the build in the
// working directory, else any version in the module cache. It needs the go command.
// Default routes are left out. The error says what is missing.
func Real(ctx context.Context) ([]netip.Prefix, error) {
	var errs []error
	for _, find := range []func(context.Context) (string, error){ofBuild, ofCache} {
		dir, err := find(ctx)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		f, err := os.Open(filepath.Join(dir, filepath.FromSlash(inside)))
		if errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		defer f.Close()
		prefixes, err := read(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		return prefixes, nil
	}
	return nil, errors.Join(errs...)
}

func ofBuild(ctx context.Context) (string, error) {
	return goCommand(ctx, "list", "-m", "-f", "{{.Dir}}", module)
}

func ofCache(ctx context.Context) (string, error) {
	cache, err := goCommand(ctx, "env", "GOMODCACHE")
	if err != nil {
		return "", err
	}
	dirs, err := filepath.Glob(filepath.Join(cache, filepath.FromSlash(module)+"@*"))
	if err != nil || len(dirs) == 0 {
		return "", fmt.Errorf("no version of %s in the module cache", module)
	}
	return dirs[len(dirs)-1], nil
}

func goCommand(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", args...).Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

func read(r io.Reader) ([]netip.Prefix, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	all := make([]netip.Prefix, 0, 1<<20)
	lines := bufio.NewScanner(z)
	for n := 1; lines.Scan(); n++ {
		p, err := netip.ParsePrefix(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if p.Bits() > 0 {
			all = append(all, p.Masked())
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	return slices.Compact(all), nil
}
