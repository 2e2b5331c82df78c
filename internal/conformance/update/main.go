// Update sorts the notes of test runs (files named as arguments, written through
// CONFORMANCE_OUT) into docs/conformance and renders docs/conformance.md. It runs
// in the module's root; "make conformance" calls it. Results of kernels that the
// notes do not mention stay.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fibula-net/fibula/internal/conformance"
)

const dir = "docs/conformance"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "update:", err)
		os.Exit(1)
	}
}

func run(notes []string) error {
	results := map[string]*conformance.Results{}
	for _, file := range notes {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		err = conformance.Collect(results, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	for name, r := range results {
		b, err := r.Encode()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name+".json"), b, 0o644); err != nil {
			return err
		}
	}
	data, err := conformance.ReadData(os.DirFS(dir))
	if err != nil {
		return err
	}
	for _, n := range data.Unproved() {
		fmt.Fprintf(os.Stderr, "update: nothing proves statement %s\n", n)
	}
	return os.WriteFile("docs/conformance.md", []byte(conformance.Render(data)), 0o644)
}
