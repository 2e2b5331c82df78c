package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// docsDate stands in the manual pages, so that they change only with the command.
var docsDate = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)

func (a *app) gendocsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "gendocs DIR",
		Short:   "Write manual pages and completions into DIR/man and DIR/completion",
		Example: "  fibula gendocs docs",
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return gendocs(c.Root(), args[0]) },
	}
}

func gendocs(root *cobra.Command, dir string) error {
	man, completion := filepath.Join(dir, "man"), filepath.Join(dir, "completion")
	for _, d := range []string{man, completion} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return fmt.Errorf("gendocs: %w", err)
		}
	}
	header := &doc.GenManHeader{Title: "FIBULA", Section: "1", Date: &docsDate, Source: "fibula", Manual: "User Commands"}
	if err := doc.GenManTree(root, header, man); err != nil {
		return fmt.Errorf("gendocs: manual pages: %w", err)
	}
	for name, write := range map[string]func(string) error{
		"fibula.bash": func(file string) error { return root.GenBashCompletionFileV2(file, true) },
		"fibula.fish": func(file string) error { return root.GenFishCompletionFile(file, true) },
		"_fibula":     root.GenZshCompletionFile,
	} {
		if err := write(filepath.Join(completion, name)); err != nil {
			return fmt.Errorf("gendocs: completion: %w", err)
		}
	}
	return nil
}

// documentCompletion gives the commands that come with cobra what ours have.
func documentCompletion(c *cobra.Command) {
	c.Example = "  fibula completion bash >/etc/bash_completion.d/fibula"
	for _, shell := range c.Commands() {
		shell.Example = "  fibula completion " + shell.Name()
	}
}
