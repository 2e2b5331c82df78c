package report

import (
	"bytes"
	"image/color"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/fibula-net/fibula/bench/measure"
	"github.com/fibula-net/fibula/bench/results"
)

// colours can be told apart by everybody, in print too (Okabe and Ito); lines differ
// in their glyphs besides.
var colours = []color.Color{
	color.RGBA{0, 114, 178, 255}, color.RGBA{230, 159, 0, 255}, color.RGBA{0, 158, 115, 255}, color.RGBA{213, 94, 0, 255},
	color.RGBA{204, 121, 167, 255}, color.RGBA{86, 180, 233, 255}, color.RGBA{120, 120, 120, 255}, color.RGBA{240, 228, 66, 255},
}

var glyphs = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.CrossGlyph{}, draw.PlusGlyph{}, draw.RingGlyph{}}

const (
	width, height = 22 * vg.Centimeter, 11 * vg.Centimeter
	barWidth      = vg.Length(9)
)

func rate(v measure.Spread) measure.Spread { return v.Inverse(1000) }
func asIs(v measure.Spread) measure.Spread { return v }

// bars draws engines in groups, a colour for each; nothing for no figures.
func bars(some []results.Figure, unit string, group func(*results.Figure) string, value func(measure.Spread) measure.Spread) (string, error) {
	if len(some) == 0 {
		return "", nil
	}
	var groups, engines []string
	for i := range some {
		if g := group(&some[i]); !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
		if !slices.Contains(engines, some[i].Engine) {
			engines = append(engines, some[i].Engine)
		}
	}
	p := newPlot("", unit)
	for e, engine := range engines {
		values, whiskers := make(plotter.Values, len(groups)), spreads{}
		for i := range some {
			if some[i].Engine != engine {
				continue
			}
			v, g := value(some[i].Value), slices.Index(groups, group(&some[i]))
			values[g] = v.Median
			whiskers.add(float64(g), v)
		}
		b, err := plotter.NewBarChart(values, barWidth)
		if err != nil {
			return "", err
		}
		b.Color, b.LineStyle.Width = colours[e%len(colours)], 0
		b.Offset = barWidth * vg.Length(float64(e)-float64(len(engines)-1)/2)
		w, err := plotter.NewYErrorBars(whiskers)
		if err != nil {
			return "", err
		}
		w.CapWidth = barWidth / 2
		p.Add(b, shifted{w, b.Offset})
		p.Legend.Add(engine, b)
	}
	p.NominalX(groups...)
	p.Y.Min = 0
	return render(p)
}

// spreads are points with the reach of their runs.
type spreads struct {
	plotter.XYs
	plotter.YErrors
}

func (s *spreads) add(x float64, v measure.Spread) {
	s.XYs = append(s.XYs, plotter.XY{X: x, Y: v.Median})
	s.YErrors = append(s.YErrors, struct{ Low, High float64 }{v.Median - v.Low, v.High - v.Median})
}

// shifted draws whiskers over a bar that stands beside the middle of its group.
type shifted struct {
	*plotter.YErrorBars
	by vg.Length
}

func (s shifted) Plot(c draw.Canvas, p *plot.Plot) {
	c.Min.X += s.by
	c.Max.X += s.by
	s.YErrorBars.Plot(c, p)
}

// lines draws curves over a logarithmic axis; nothing for no points.
func lines(some curves, x, y string) (string, error) {
	if len(some) == 0 {
		return "", nil
	}
	p := newPlot(x, y)
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, decades{}
	logY := false
	for i, l := range some {
		var points spreads
		slices.SortStableFunc(l.points, func(a, b point) int { return int(math.Copysign(1, a.x-b.x)) })
		for _, at := range l.points {
			points.add(at.x, at.figure.Value)
		}
		curve, marks, err := plotter.NewLinePoints(points.XYs)
		if err != nil {
			return "", err
		}
		whiskers, err := plotter.NewYErrorBars(points)
		if err != nil {
			return "", err
		}
		curve.Color, marks.Color, whiskers.Color = colours[i%len(colours)], colours[i%len(colours)], colours[i%len(colours)]
		marks.Shape = glyphs[i%len(glyphs)]
		p.Add(curve, marks, whiskers)
		p.Legend.Add(l.name, curve, marks)
		logY = logY || l.logY
	}
	// A logarithmic axis needs more than one value, and none at zero.
	p.X.Min, p.X.Max = math.Max(p.X.Min, 0.5)*0.9, p.X.Max*1.2
	if logY {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, decades{}
		p.Y.Min, p.Y.Max = math.Max(p.Y.Min, 0.01)*0.8, p.Y.Max*1.3
	} else {
		p.Y.Min, p.Y.Max = 0, math.Max(p.Y.Max*1.1, 110)
	}
	return render(p)
}

// decades marks a logarithmic axis as people say its numbers.
type decades struct{}

func (decades) Ticks(low, high float64) (ticks []plot.Tick) {
	for d := math.Pow(10, math.Floor(math.Log10(low))); d <= high; d *= 10 {
		for _, k := range []float64{1, 2, 5} {
			if v := k * d; v >= low && v <= high {
				ticks = append(ticks, plot.Tick{Value: v, Label: short(v)})
			}
		}
	}
	return ticks
}

func short(v float64) string {
	if v < 1 {
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	return results.Short(int(math.Round(v)))
}

func newPlot(x, y string) *plot.Plot {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = x, y
	p.Legend.Top, p.Legend.XOffs = true, vg.Length(-4)
	p.Add(plotter.NewGrid())
	return p
}

func render(p *plot.Plot) (string, error) {
	c := vgsvg.New(width, height)
	legendBeside(p, draw.New(c))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return "", err
	}
	return b.String(), nil
}

// legendBeside puts the legend to the right of the plot, where it hides nothing.
func legendBeside(p *plot.Plot, c draw.Canvas) {
	legend := p.Legend
	p.Legend = plot.NewLegend()
	c.FillPolygon(color.White, []vg.Point{c.Min, {X: c.Min.X, Y: c.Max.Y}, c.Max, {X: c.Max.X, Y: c.Min.Y}})
	room := legend.Rectangle(c).Size().X + vg.Length(24)
	p.Draw(draw.Crop(c, 0, -room, 0, 0))
	legend.Draw(draw.Crop(c, 0, 0, 0, -vg.Length(8)))
}
