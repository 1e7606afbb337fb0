package trial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"endogate/dicomnode/pixeldata/video"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/ask"
	"endogate/inference/figures"
	"endogate/inference/frames"
)

// Accuracy measures how well a model classifies sets of frames.
type Accuracy struct {
	Bundle   *inference.Bundle
	Model    *ask.Model
	Frames   func(paths []string) frames.Files
	Variants []Variant
	Aims     []Aim
	Groups   []string // columns
	Worst    int      // errors shown of each set
	Log      io.Writer

	// Watch says of a video what a gateway says of it. Nil: videos are not read.
	Watch func(ctx context.Context, of frames.Frame, clip *video.Clip) (analysis.Analysis, error)
	// Sequences hands over what belongs together of files, by the path of its folder or file, prepared: of a model that looks across time.
	// Nil: it takes frames.
	Sequences func(ctx context.Context, files frames.Files, do func(ctx context.Context, path string, frames []analysis.Prepared) error) error

	addUp bool // the probabilities of every frame, to one
}

// Variant is a way to prepare frames.
type Variant struct {
	Name  string
	Steps []inference.Step
}

// Aim is an operating point of choice, of one class or of all that are findings.
type Aim struct {
	Class string // "" for every class
	figures.Aim
}

// Variants are the manifest's way and, if asked for, those that Hicks et al. (2018) compare: frames as they are, with the box of the
// navigation picture blacked out, and with box and border removed. Box and border are the manifest's where it has them.
func Variants(b *inference.Bundle, compared bool, box inference.Box) []Variant {
	all := []Variant{{"as the manifest says", b.Preprocess}}
	if !compared {
		return all
	}
	var other []inference.Step
	border := inference.Step{CropBorder: &inference.CropBorder{Threshold: 30, MinFraction: 0.15, MinSize: 32}}
	mask := inference.Step{MaskBox: &box}
	for _, s := range b.Preprocess {
		switch {
		case s.CropBorder != nil:
			border = s
		case s.MaskBox != nil:
			mask = s
		default:
			other = append(other, s)
		}
	}
	for _, v := range []Variant{
		{"as is", other}, {"box blacked out", append(slices.Clone(other), mask)}, {"box and border removed", append(slices.Clone(other), border, mask)},
	} {
		if reflect.DeepEqual(v.Steps, b.Preprocess) || len(v.Steps)+len(b.Preprocess) == 0 {
			all[0].Name += ": " + v.Name
		} else {
			all = append(all, v)
		}
	}
	return all
}

// seen is a frame, a clip or a part of a video, and what the model says of it, by variant.
type seen struct {
	path   string
	number int // 0 of a clip or video
	name   string
	label  Label
	scores [][]float64
}

// gathered is a set that was gone over.
type gathered struct {
	set    Set
	frames []seen
	left   int
	unread error

	overTime int // of frames, those that are clips, videos or parts of them
}

// Measure goes over the sets. Operating points are chosen on the first, and hold for all. With frames.ErrUnread the result is of the
// others.
func (a *Accuracy) Measure(ctx context.Context, sets []Set) (*Result, error) {
	all := make([]gathered, len(sets))
	var unread error
	for i, s := range sets {
		var err error
		if all[i], err = a.gather(ctx, s); err != nil {
			return nil, err
		}
		unread = errors.Join(unread, all[i].unread)
	}
	a.addUp = addUp(all)
	r := &Result{Model: a.Bundle.Name, Version: a.Bundle.Version, Digest: a.Bundle.Digest, Rule: a.rule(), Groups: a.Groups}
	for _, class := range a.Bundle.Classes {
		r.Classes = append(r.Classes, class.Name)
	}
	for _, g := range all {
		one, err := a.set(ctx, g, all[0])
		if err != nil {
			return nil, err
		}
		r.Sets = append(r.Sets, one)
	}
	return r, unread
}

// gather classifies the frames of a set.
func (a *Accuracy) gather(ctx context.Context, s Set) (gathered, error) {
	g := gathered{set: s, left: s.Without}
	var there []string
	files := a.Frames(nil)
	for _, p := range s.Paths { // a list may name what is not there
		if _, err := os.Stat(p); err != nil {
			files.Tell(p, err)
			continue
		}
		there = append(there, p)
	}
	if len(there) < len(s.Paths) {
		g.unread = fmt.Errorf("set %s: %w: %d of %d are not there", s.Name, frames.ErrUnread, len(s.Paths)-len(there), len(s.Paths))
	}
	files.Paths = there
	began := time.Now()
	if a.Watch != nil {
		files.Video = func(ctx context.Context, f frames.Frame, clip *video.Clip) error { return a.video(ctx, &g, f, clip) }
	}
	one := func(ctx context.Context, f frames.Frame) error {
		label, ok := s.label(f.Path)
		if len(s.parts[f.Path]) > 0 {
			return errNoParts
		}
		if !ok {
			g.left++
			return nil
		}
		one := seen{path: f.Path, number: f.Number, name: filepath.Base(f.Path), label: label}
		if f.Number > 1 {
			one.name += fmt.Sprintf(" frame %d", f.Number)
		}
		for _, v := range a.Variants {
			prepared := *a.Bundle
			prepared.Preprocess = v.Steps
			values := make([]float32, prepared.Input.Len())
			if _, err := prepared.Prepare(f.Image, analysis.Pose{Orientation: analysis.Orientation(f.Orientation), Aspect: f.Aspect}, values); err != nil {
				return err
			}
			p, err := a.Model.Probabilities(ctx, values, 1)
			if err != nil {
				return err
			}
			one.scores = append(one.scores, p[0])
		}
		g.frames = append(g.frames, one)
		if len(g.frames)%100 == 0 {
			fmt.Fprintf(a.Log, "set %s: %d frames in %s\n", s.Name, len(g.frames), time.Since(began).Round(time.Second))
		}
		return nil
	}
	var err error
	if a.Sequences != nil {
		err = a.Sequences(ctx, files, func(ctx context.Context, path string, frames []analysis.Prepared) error {
			return a.clip(ctx, &g, path, frames)
		})
	} else {
		err = files.Each(ctx, one)
	}
	if errors.Is(err, frames.ErrUnread) {
		g.unread, err = errors.Join(g.unread, fmt.Errorf("set %s: %w", s.Name, err)), nil
	}
	if err == nil && len(g.frames) == 0 {
		err = cmp.Or(g.unread, fmt.Errorf("set %s: no frame in it", s.Name))
	}
	return g, err
}

// errNoParts is of what is no video and has a label for a part of itself.
var errNoParts = errors.New("start_s and end_s are of videos, and this is none: give it one label")

// video takes down what a video has of each class, or each of its parts that has a label, by the rule that the manifest has for videos.
func (a *Accuracy) video(ctx context.Context, g *gathered, f frames.Frame, clip *video.Clip) error {
	labels := g.set.labels(f.Path)
	if len(labels) == 0 {
		g.left++
		return nil
	}
	if len(a.Variants) > 1 {
		return errors.New("a video is looked at as the manifest says, prepared in no other way: leave out --variants, or the videos of the set")
	}
	said, err := a.Watch(ctx, f, clip)
	switch {
	case err != nil:
		return err
	case said.Moving == nil:
		return errors.New(said.NotAnalysed)
	}
	for _, l := range labels {
		name, parts := filepath.Base(f.Path), said.Parts
		if l.To > 0 {
			name += fmt.Sprintf(" %s to %s", analysis.Clock(l.From), analysis.Clock(l.To))
			parts = slices.DeleteFunc(slices.Clone(parts), func(p analysis.Part) bool {
				at := p.Result.Span.Start.Seconds()
				return at < l.From || at >= l.To
			})
		}
		if !slices.ContainsFunc(parts, func(p analysis.Part) bool { return p.Quality == nil || p.Quality.Poor == "" }) {
			fmt.Fprintf(a.Log, "%s: none of its frames is analysed and counts; it is left out\n", name)
			g.left++
			continue
		}
		g.add(f.Path, name, l, a.inOrder(a.Bundle.Temporal.Scores(a.Bundle.Classes, parts)))
	}
	return nil
}

// clip takes down what a sequence of frames has of each class: the highest of the clips that the network is given of it.
func (a *Accuracy) clip(ctx context.Context, g *gathered, path string, frames []analysis.Prepared) error {
	labels := g.set.labels(path)
	if len(g.set.parts[path]) > 0 {
		return fmt.Errorf("%s: %w", path, errNoParts)
	}
	if len(labels) == 0 {
		g.left++
		return nil
	}
	scores := make([]float64, len(a.Bundle.Classes))
	for _, window := range a.Bundle.Clip.Windows(len(frames)) {
		var some []analysis.Prepared
		for _, i := range window {
			some = append(some, frames[i])
		}
		p, err := a.Model.Look(ctx, some)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for c := range scores {
			scores[c] = max(scores[c], p[c])
		}
	}
	g.add(path, filepath.Base(path), labels[0], scores)
	return nil
}

// add takes down what is seen over time.
func (g *gathered) add(path, name string, l Label, scores []float64) {
	g.frames = append(g.frames, seen{path: path, name: name, label: l, scores: [][]float64{scores}})
	g.overTime++
}

// inOrder are scores in the order of the model's classes.
func (a *Accuracy) inOrder(by map[string]float64) []float64 {
	scores := make([]float64, len(a.Bundle.Classes))
	for c, class := range a.Bundle.Classes {
		scores[c] = by[class.Name]
	}
	return scores
}

// exclusive reports whether a frame is of one class alone, the most probable: by softmax, or where the network itself makes
// probabilities of all classes that are one together.
func (a *Accuracy) exclusive() bool {
	switch a.Bundle.Output.Activation {
	case inference.Softmax:
		return true
	case inference.Sigmoid:
		return false
	}
	return a.addUp
}

// addUp reports whether the probabilities of every frame are one together.
func addUp(all []gathered) bool {
	for _, g := range all {
		for _, f := range g.frames {
			sum := 0.0
			for _, p := range f.scores[0] {
				sum += p
			}
			if math.Abs(sum-1) > 1e-3 {
				return false
			}
		}
	}
	return true
}

func (a *Accuracy) rule() string {
	if a.exclusive() {
		return "a frame is called what is most probable"
	}
	return "a frame is called every class whose threshold in the manifest its probability reaches"
}

// calls reports whether scores call a class.
func (a *Accuracy) calls(scores []float64, class int) bool {
	if a.exclusive() {
		return top(scores) == class
	}
	return scores[class] >= a.Bundle.Classes[class].Threshold
}

func top(scores []float64) int { return slices.Index(scores, slices.Max(scores)) }

// knows reports whether it is known of a frame that it is of a class or not.
func (l Label) knows(class string) bool { return l.Only == "" || l.Only == class }

// scoresOf are the probabilities of a class in frames of which that is known.
func (a *Accuracy) scoresOf(all []seen, variant, class int) (s figures.Scores) {
	name := a.Bundle.Classes[class].Name
	for _, f := range all {
		switch p := f.scores[variant][class]; {
		case !f.label.knows(name):
		case slices.Contains(f.label.Is, name):
			s.Present = append(s.Present, p)
		default:
			s.Absent = append(s.Absent, p)
		}
	}
	return s
}

// set measures one, with operating points of the first.
func (a *Accuracy) set(ctx context.Context, g, first gathered) (SetResult, error) {
	r := SetResult{Name: g.set.Name, From: g.set.From, Frames: len(g.frames), OverTime: g.overTime, LeftOut: g.left}
	if g.unread != nil {
		r.Unread = g.unread.Error()
	}
	for v, variant := range a.Variants {
		m := a.measure(g.frames, v)
		m.Name = variant.Name
		for c := range m.Classes {
			m.Classes[c].Points = a.points(a.scoresOf(g.frames, v, c), a.scoresOf(first.frames, v, c), c, first.set.Name)
		}
		r.Variants = append(r.Variants, m)
	}
	for _, column := range a.Groups {
		by := map[string][]seen{}
		for _, f := range g.frames {
			value := cmp.Or(f.label.Columns[column], "not said")
			by[value] = append(by[value], f)
		}
		values := make([]string, 0, len(by))
		for value := range by {
			values = append(values, value)
		}
		slices.Sort(values)
		if len(values) > maxGroups {
			return r, fmt.Errorf("set %s: column %q has %d values; a column to group by has at most %d", g.set.Name, column, len(values), maxGroups)
		}
		for _, value := range values {
			group := Group{Column: column, Value: value, Measured: a.measure(by[value], 0)}
			for c := range group.Classes {
				group.Classes[c].Points = a.points(a.scoresOf(by[value], 0, c), a.scoresOf(first.frames, 0, c), c, first.set.Name)
			}
			r.Groups = append(r.Groups, group)
		}
	}
	var err error
	r.Worst, err = a.worst(ctx, g)
	return r, err
}

// maxGroups bounds the values of a column to group by.
const maxGroups = 64

// measure makes the figures of frames by a variant.
func (a *Accuracy) measure(all []seen, variant int) (m Measured) {
	m.Frames = len(all)
	var tables []figures.Table
	for c, class := range a.Bundle.Classes {
		var counts figures.Counts
		var p []float64
		var is []bool
		for _, f := range all {
			if !f.label.knows(class.Name) {
				continue
			}
			present := slices.Contains(f.label.Is, class.Name)
			counts.Add(present, a.calls(f.scores[variant], c))
			p, is = append(p, f.scores[variant][c]), append(is, present)
		}
		one := Class{
			Class: class.Name, Counts: counts, Table: counts.Table(), AUC: a.scoresOf(all, variant, c).AUC(), Reliability: figures.Reliable(p, is),
		}
		m.Classes = append(m.Classes, one)
		if counts.TP+counts.FN > 0 { // of a class without frames it says how often others were taken for it, and that stands in its line
			tables = append(tables, one.Table)
		}
	}
	m.Macro, m.MacroOf = figures.Macro(tables), len(tables)
	const several = "a frame may be of several classes"
	m.Right, m.Reliability.ECE = figures.Figure{None: several}, figures.Figure{None: several}
	if a.exclusive() {
		a.together(&m, all, variant)
	}
	return m
}

// together makes the figures of all classes at once, of frames that are of one.
func (a *Accuracy) together(m *Measured, all []seen, variant int) {
	n := len(a.Bundle.Classes)
	m.Confusion = make([][]int, n)
	for i := range m.Confusion {
		m.Confusion[i] = make([]int, n)
	}
	names, right, known := a.Bundle.ClassNames(), 0, 0
	var p []float64
	var so []bool
	for _, f := range all {
		if f.label.Only != "" {
			continue
		}
		known++
		scores := f.scores[variant]
		called := top(scores)
		hit := slices.Contains(f.label.Is, names[called])
		if hit {
			right++
		}
		p, so = append(p, scores[called]), append(so, hit)
		if len(f.label.Is) == 1 {
			m.Confusion[slices.Index(names, f.label.Is[0])][called]++
		}
	}
	m.Right = figures.Share(right, known, "of no frame all classes are known")
	m.Reliability = figures.Reliable(p, so)
}

// points are the manifest's threshold and those that the aims choose on the first set.
func (a *Accuracy) points(here, first figures.Scores, class int, firstName string) []Point {
	c := a.Bundle.Classes[class]
	points := []Point{pointAt("the manifest's threshold", c.Threshold, here)}
	for _, aim := range a.Aims {
		if aim.Class != "" && aim.Class != c.Name {
			continue
		}
		name := aim.String()
		if aim.Of != "threshold" {
			name += " on " + firstName
		}
		threshold, why := first.Threshold(aim.Aim)
		if why != "" {
			points = append(points, Point{Name: name, None: why})
			continue
		}
		points = append(points, pointAt(name, threshold, here))
	}
	return points
}

func pointAt(name string, threshold float64, s figures.Scores) Point {
	c := s.At(threshold)
	return Point{Name: name, Threshold: threshold, Counts: c, Sensitivity: c.Sensitivity(), Specificity: c.Specificity()}
}
