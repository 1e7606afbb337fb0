package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"endogate/cmd/endogate/gateway"
	"endogate/configs"
	"endogate/dicomnode/pixeldata"
	"endogate/explain"
	"endogate/explain/faithfulness"
	"endogate/inference"
	"endogate/inference/ask"
)

type checkCmd struct {
	Dir    string   `arg:"" help:"Model bundle." type:"existingdir"`
	Frames []string `help:"Frames to measure the explanations on: JPEG, PNG or DICOM files, or folders." type:"existing"`
	Masks  string   `help:"Folder of masks, PNG or JPEG, named as their frames: where the finding is." type:"existingdir"`
	Class  string   `help:"Class to explain: its name, or top for the most probable." default:"top"`
	Layer  []string `help:"Layers to explain at; the manifest's without one."`
	Method []string `help:"Methods; without any, all that take one run of the network. all: every one."`
	Limit  int      `help:"Frames at most; 0: all." default:"0"`
	Draws  int      `help:"Random weights the maps are compared with; the frames are gone over once for each." default:"3"`
	Out    string   `help:"Folder for the table (CSV) and the plot." default:"." type:"path"`
	Margin float64  `help:"How far beside the mask the pointing game allows, in parts of the frame's width." default:"0.067"`
}

func (m *checkCmd) Run(ctx context.Context, c *cli, tty console) error {
	if m.Draws < 1 {
		return usageError(fmt.Sprintf("model check: --draws %d: must be at least 1", m.Draws))
	}
	cfg, err := c.load()
	if err != nil {
		return err
	}
	cfg.Models, cfg.Routes = []configs.Model{{Dir: m.Dir}}, nil
	loaded, err := gateway.OpenModels(ctx, cfg)
	if err != nil {
		return err
	}
	b := loaded.Bundles[0]
	if err := loaded.Close(); err != nil {
		return err
	}
	fmt.Fprintf(tty.out, "%s %s: manifest, network and gradient graph load, and a black frame gives finite results\n", b.Name, b.Version)
	if len(m.Frames) == 0 {
		if m.Masks != "" {
			return usageError("model check: --masks needs --frames")
		}
		return nil
	}
	methods, err := m.methods(cfg, b)
	if err != nil {
		return err
	}
	trial := newTrial(m, cfg, b, tty)
	layers := m.Layer
	if len(layers) == 0 {
		layers = []string{b.Explain.Layer}
	}
	var unread error
	for i, layer := range layers {
		at := methods
		if i > 0 { // the others are the same at every layer
			at = slices.DeleteFunc(slices.Clone(methods), func(m explain.Method) bool { info, _ := explain.LookupMethod(m); return !info.AtLayer })
		}
		switch err := trial.layer(ctx, layer, at); {
		case errors.Is(err, errUnread): // what was measured on the others is reported
			unread = err
		case err != nil:
			return err
		}
	}
	return errors.Join(trial.report(), unread)
}

// methods reads the flag; without it, they are all that take one run of the network.
func (m *checkCmd) methods(cfg configs.Config, b *inference.Bundle) ([]explain.Method, error) {
	model, err := openModel(cfg, b, ask.Options{}) // nothing is loaded
	if err != nil {
		return nil, err
	}
	if len(m.Method) > 0 {
		return readMethods(m.Method, model)
	}
	methods, err := readMethods([]string{"all"}, model)
	return slices.DeleteFunc(methods, func(m explain.Method) bool { info, _ := explain.LookupMethod(m); return info.Runs }), err
}

// trial measures the explanations of a model on frames.
type trial struct {
	check    *checkCmd
	cfg      configs.Config
	bundle   *inference.Bundle
	tty      console
	files    frameFiles
	frames   int
	masked   int
	chance   []float64 // the masks' shares of their frames
	order    []string
	measured map[string]*measurement // by method and layer
}

func newTrial(m *checkCmd, cfg configs.Config, b *inference.Bundle, tty console) *trial {
	return &trial{
		check: m, cfg: cfg, bundle: b, tty: tty, measured: map[string]*measurement{},
		files: frameFiles{paths: m.Frames, except: m.Masks, decoding: pixeldata.Options{FFmpeg: cfg.FFmpeg}, tty: tty},
	}
}

// measurement is what was found of one method at one layer.
type measurement struct {
	method, layer             string
	frames                    []string // that have a map
	deletion, insertion, gain []float64
	energy                    []float64
	similarity                map[string][]float64 // by frame: to the map of each draw of random weights that has one
	hits, pointed, nothing    int
}

// layer measures methods at one layer, on every frame.
func (t *trial) layer(ctx context.Context, layer string, methods []explain.Method) (err error) {
	x, err := openModel(t.cfg, t.bundle, ask.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	t.frames, t.masked, t.chance = 0, 0, nil
	var unread error
	for draw := 1; draw <= t.check.Draws; draw++ {
		switch err := t.pass(ctx, x, layer, methods, draw); {
		case errors.Is(err, errUnread):
			unread = err
		case err != nil:
			return err
		}
	}
	return unread
}

// pass goes over the frames with one draw of random weights, which is in memory until it returns. The first pass measures
// everything, the others what depends on the draw.
func (t *trial) pass(ctx context.Context, x *ask.Model, layer string, methods []explain.Method, draw int) (err error) {
	random, err := openModel(t.cfg, t.bundle, ask.Options{Load: func() ([]byte, error) {
		model, err := t.bundle.Network()
		if err != nil {
			return nil, err
		}
		return explain.Randomise(model, uint64(draw), 0)
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, random.Close()) }()
	q := ask.Question{Class: t.check.Class, Layer: layer, Methods: methods}
	began, frames := time.Now(), 0
	err = t.files.each(ctx, func(ctx context.Context, f sourceFrame) error {
		if t.check.Limit > 0 && frames >= t.check.Limit {
			return fs.SkipAll
		}
		frames++
		if frames%10 == 0 {
			fmt.Fprintf(t.tty.err, "layer %s, random weights %d of %d: %d frames in %s\n", layer, draw, t.check.Draws, frames, time.Since(began).Round(time.Second))
		}
		if draw == 1 {
			t.frames++
		}
		if err := t.frame(ctx, x, random, f, q, draw == 1); err != nil || frames != t.check.Limit {
			return err
		}
		return fs.SkipAll
	})
	if err == nil && frames == 0 {
		return fmt.Errorf("model check: no frame in %s", strings.Join(t.check.Frames, ", "))
	}
	return err
}

// frame measures all methods on one frame: everything, or only what depends on the random weights.
func (t *trial) frame(ctx context.Context, x, random *ask.Model, f sourceFrame, q ask.Question, everything bool) error {
	asked, err := x.Ask(ctx, f.image, q)
	if err != nil {
		return asUsage(err)
	}
	answers, err := x.Answers(ctx, asked)
	if err != nil {
		return err
	}
	if everything {
		if err := t.measure(ctx, x, f, asked, answers); err != nil {
			return err
		}
	}
	others, err := random.Answers(ctx, asked)
	if err != nil {
		return err
	}
	for i, a := range answers {
		if err := t.of(a).compare(f, asked.Input.Shape, a, others[i]); err != nil {
			return err
		}
	}
	return nil
}

// measure takes down what the maps of a frame are worth without another network.
func (t *trial) measure(ctx context.Context, x *ask.Model, f sourceFrame, asked *ask.Asked, answers []ask.Answer) error {
	mask, hasMask, err := t.mask(f)
	if err != nil {
		return err
	}
	l, _ := explain.LayoutOf(asked.Input.Shape)
	blurred := faithfulness.Blur(l, asked.Input.Values, float64(l.Width)/20)
	for _, a := range answers {
		m := t.of(a)
		maps, err := a.Maps(asked.Input.Shape)
		if err != nil {
			return err
		}
		if _, err := maps[0].Magnitude(); err != nil {
			m.nothing++
			continue
		}
		deletion, insertion, err := faithfulness.Curves(ctx, scorer(x, asked.Class), l, asked.Input.Values, asked.Input.Baseline, blurred, maps[0])
		if err != nil {
			return err
		}
		m.add(f, deletion, insertion)
		if hasMask {
			m.hold(asked.Geometry.ToSource(maps[0]), mask, t.check.Margin)
		}
	}
	return nil
}

// mask finds that of a frame, if there is one.
func (t *trial) mask(f sourceFrame) (faithfulness.Mask, bool, error) {
	if t.check.Masks == "" {
		return faithfulness.Mask{}, false, nil
	}
	for _, name := range maskNames(f) {
		path := filepath.Join(t.check.Masks, name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		m, err := faithfulness.ReadMask(path)
		if err == nil {
			t.masked++
			t.chance = append(t.chance, m.Share())
		}
		return m, err == nil, err
	}
	return faithfulness.Mask{}, false, nil
}

// maskNames are those a frame's mask may have; that of a first frame may be called as its file.
func maskNames(f sourceFrame) (names []string) {
	stems := []string{f.name}
	if f.number == 1 {
		stems = append(stems, strings.TrimSuffix(filepath.Base(f.path), filepath.Ext(f.path)))
	}
	for _, stem := range stems {
		for _, ending := range []string{".png", ".jpg", ".jpeg", "-mask.png", "_mask.png", "-mask.jpg", "_mask.jpg"} {
			names = append(names, stem+ending)
		}
	}
	return names
}

// of is the measurement that an answer belongs to.
func (t *trial) of(a ask.Answer) *measurement {
	key := string(a.Method) + "\n" + a.Layer.Name
	m := t.measured[key]
	if m == nil {
		m = &measurement{method: string(a.Method), layer: a.Layer.Name, similarity: map[string][]float64{}}
		t.measured[key] = m
		t.order = append(t.order, key)
	}
	return m
}

func (m *measurement) add(f sourceFrame, deletion, insertion faithfulness.Curve) {
	m.frames = append(m.frames, f.id())
	m.deletion, m.insertion = append(m.deletion, deletion.Area), append(m.insertion, insertion.Area)
	m.gain = append(m.gain, insertion.Area-deletion.Area)
}

// compare takes down how like the map of random weights is to that of the network, where both are any.
func (m *measurement) compare(f sourceFrame, shape []int64, a, other ask.Answer) error {
	maps, err := a.Maps(shape)
	if err != nil {
		return err
	}
	others, err := other.Maps(shape)
	if err != nil {
		return err
	}
	_, nothing := maps[0].Magnitude()
	_, nothingElse := others[0].Magnitude()
	if nothing == nil && nothingElse == nil {
		m.similarity[f.id()] = append(m.similarity[f.id()], faithfulness.RankCorrelation(maps[0].Values, others[0].Values))
	}
	return nil
}

// draws are the similarities of each frame.
func (m *measurement) draws() [][]float64 {
	all := make([][]float64, len(m.frames))
	for i, f := range m.frames {
		all[i] = m.similarity[f]
	}
	return all
}

// hold takes down how a map of the source frame agrees with a mask.
func (m *measurement) hold(shown explain.Map, mask faithfulness.Mask, margin float64) {
	m.energy = append(m.energy, faithfulness.EnergyInside(shown, mask))
	m.pointed++
	if faithfulness.Pointing(shown, mask, margin) {
		m.hits++
	}
}

// scorer gives the probability of a class.
func scorer(m *ask.Model, class int) faithfulness.Scorer {
	return func(ctx context.Context, inputs []float32, n int) ([]float64, error) {
		probabilities, err := m.Probabilities(ctx, inputs, n)
		scores := make([]float64, len(probabilities))
		for i, p := range probabilities {
			scores[i] = p[class]
		}
		return scores, err
	}
}
