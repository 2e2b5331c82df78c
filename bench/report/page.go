package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"strings"

	"github.com/fibula-net/fibula/bench/results"
)

//go:embed page.html
var source string

var page = template.Must(template.New("page").Parse(source))

// Write writes index.html, results.json, results.txt, results.bench and each plot
// as an SVG file into a directory, which it makes.
func Write(dir string, r *results.Run) error {
	plots, err := Plots(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	type figure struct {
		Title, Note string
		SVG         template.HTML
	}
	var text, lines, object, out strings.Builder
	data := struct {
		Run   *results.Run
		Text  string
		Plots []figure
	}{Run: r}
	for _, p := range plots {
		// Our own drawing; inside a page an XML declaration is not allowed.
		svg := p.SVG[strings.Index(p.SVG, "<svg"):]
		data.Plots = append(data.Plots, figure{p.Title, p.Note, template.HTML(svg)})
		if err := os.WriteFile(filepath.Join(dir, p.Name+".svg"), []byte(p.SVG), 0o644); err != nil {
			return err
		}
	}
	if err := r.WriteText(&text); err != nil {
		return err
	}
	if err := r.WriteGo(&lines); err != nil {
		return err
	}
	if err := r.WriteJSON(&object, "  "); err != nil {
		return err
	}
	data.Text = text.String()
	if err := page.Execute(&out, data); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	for name, s := range map[string]string{"index.html": out.String(), "results.txt": text.String(), "results.bench": lines.String(), "results.json": object.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o644); err != nil {
			return err
		}
	}
	return nil
}
