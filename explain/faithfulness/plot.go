package faithfulness

import (
	"fmt"
	"image/color"
	"math"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// Bar is what a plot shows of one method.
type Bar struct {
	Name                                    string
	Deletion, Insertion, Energy, Similarity Estimate
}

// panel is one part of a plot: a number of each method.
type panel struct {
	title string
	of    func(Bar) Estimate
}

var panels = []panel{
	{"deletion (less is better)", func(b Bar) Estimate { return b.Deletion }},
	{"insertion (more is better)", func(b Bar) Estimate { return b.Insertion }},
	{"energy inside the mask (more is better)", func(b Bar) Estimate { return b.Energy }},
	{"like random weights (less is better)", func(b Bar) Estimate { return b.Similarity }},
}

// Plot writes a PNG picture: each number with its 95 % interval, methods from the top down.
func Plot(path, title string, bars []Bar) error {
	rows := max(len(bars), 1)
	img := vgimg.New(vg.Points(1100), vg.Points(float64(90+17*rows)))
	tiles := draw.Tiles{Rows: 1, Cols: len(panels), PadX: vg.Points(8), PadTop: vg.Points(4), PadBottom: vg.Points(4), PadLeft: vg.Points(4), PadRight: vg.Points(8)}
	plots := [][]*plot.Plot{make([]*plot.Plot, len(panels))}
	for i, part := range panels {
		p, err := part.plot(bars, i == 0)
		if err != nil {
			return fmt.Errorf("faithfulness: plot: %w", err)
		}
		if i == 0 {
			p.Title.Text = title + "\n" + p.Title.Text
		} else {
			p.Title.Text = "\n" + p.Title.Text
		}
		plots[0][i] = p
	}
	canvases := plot.Align(plots, tiles, draw.New(img))
	for i, p := range plots[0] {
		p.Draw(canvases[0][i])
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := (vgimg.PngCanvas{Canvas: img}).WriteTo(file); err != nil {
		_ = file.Close() // the first error is the one that matters
		return err
	}
	return file.Close()
}

// points are estimates at their row, with their intervals.
type points struct {
	plotter.XYs
	plotter.XErrors
}

func (part panel) plot(bars []Bar, named bool) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text, p.Title.TextStyle.Font.Size = part.title, vg.Points(10)
	p.X.Min, p.X.Max = 0, 1
	p.Y.Min, p.Y.Max = -0.5, float64(len(bars))-0.5
	ticks := make([]plot.Tick, len(bars))
	var data points
	for i, b := range bars {
		y := float64(len(bars) - 1 - i)
		ticks[i] = plot.Tick{Value: y}
		if named {
			ticks[i].Label = b.Name
		}
		e := part.of(b)
		if e.N == 0 || math.IsNaN(e.Value) {
			continue
		}
		p.X.Min = math.Min(p.X.Min, e.Low)
		data.XYs = append(data.XYs, plotter.XY{X: e.Value, Y: y})
		data.XErrors = append(data.XErrors, struct{ Low, High float64 }{e.Value - e.Low, e.High - e.Value})
	}
	p.Y.Tick.Marker = plot.ConstantTicks(ticks)
	p.Add(plotter.NewGrid())
	if len(data.XYs) == 0 {
		return p, nil
	}
	dots, err := plotter.NewScatter(data)
	if err != nil {
		return nil, err
	}
	dots.GlyphStyle = draw.GlyphStyle{Color: color.RGBA{20, 80, 170, 255}, Radius: vg.Points(3), Shape: draw.CircleGlyph{}}
	intervals, err := plotter.NewXErrorBars(data)
	if err != nil {
		return nil, err
	}
	p.Add(intervals, dots)
	return p, nil
}
