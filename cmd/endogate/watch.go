package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"endogate/cmd/endogate/gateway"
	"endogate/dicomnode/pixeldata/video"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/live"
)

type watchCmd struct {
	Source       string        `arg:"" help:"A V4L2 device (/dev/video0), an address (rtsp://HOST/PATH) or a video file, which is shown at its own speed."`
	Model        string        `help:"Model bundle; the first of the configuration without one." placeholder:"DIR" type:"existingdir"`
	JSON         bool          `help:"Print a line of JSON for each frame that is analysed." name:"json"`
	PasswordFile string        `help:"File with the password of the address, which would else stand among the arguments of this command." type:"existingfile" placeholder:"FILE"`
	Listen       bool          `help:"Of RTSP: wait at the address for a source that sends by itself."`
	Out          string        `help:"Folder for a picture with its heatmap of each finding, where it begins." type:"path" placeholder:"DIR"`
	Stall        time.Duration `help:"How long a source may show no frame before it counts as gone." default:"10s"`
}

// Run analyses a signal until it ends or somebody stops it.
func (w *watchCmd) Run(ctx context.Context, c *cli, tty console) (err error) {
	if w.PasswordFile != "" {
		if w.Source, err = withPassword(w.Source, w.PasswordFile); err != nil {
			return err
		}
	}
	signal := video.Signal{Name: w.Source, Listen: w.Listen, Stall: w.Stall}
	if err := signal.Check(); err != nil {
		return usageError("watch: " + err.Error())
	}
	if w.Stall <= 0 {
		return usageError("watch: --stall is a time such as 10s")
	}
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if w.Model == "" && len(cfg.Models) == 0 {
		return usageError("watch: no model: name a bundle by --model, or models in the configuration")
	}
	if w.Model == "" {
		w.Model = cfg.Models[0].Dir
	}
	bundle, err := inference.LoadBundle(w.Model)
	if err != nil {
		return err
	}
	if w.Out != "" {
		if err := os.MkdirAll(w.Out, 0o755); err != nil {
			return err
		}
	}
	colours, err := explain.NamedColourMap(cfg.Reports.ColourMap)
	if err != nil {
		return err
	}
	model, err := gateway.OpenWatcher(ctx, cfg, bundle)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	decoding := gateway.Decoding(cfg)
	signal.FFmpeg, signal.Bounds = decoding.FFmpeg, decoding.Bounds
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	t := &told{watchCmd: w, tty: tty, draw: func(f live.Frame) *image.RGBA { return f.Drawn(colours, cfg.Reports.Opacity) }, stop: stop, begun: time.Now(), second: time.Now()}
	t.begin(signal, bundle)
	watch := &live.Watch{Signal: signal, Model: model, Show: t.frame, Lost: t.lost, Log: newLogger(tty.err, cfg.Log)}
	err = watch.Run(ctx)
	t.end()
	return cmp.Or(err, t.fault)
}

// withPassword puts the password that a file holds into an address.
func withPassword(address, file string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.User.Username() == "" {
		return "", usageError("watch: --password-file goes with an address that names a user: rtsp://USER@HOST/PATH")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	u.User = url.UserPassword(u.User.Username(), strings.TrimRight(string(text), "\r\n"))
	return u.String(), nil
}

// told is what the command tells of a signal. Its methods may be called from any goroutine.
type told struct {
	*watchCmd
	tty  console
	draw func(live.Frame) *image.RGBA
	stop context.CancelCauseFunc

	mu        sync.Mutex
	begun     time.Time
	second    time.Time // since when frames are counted for the next line
	latencies []float64 // of them, in milliseconds
	frames    int       // analysed
	last      analysis.Live
	present   []analysis.Present
	fault     error // of what is printed or written
}

func (t *told) begin(s video.Signal, b *inference.Bundle) {
	if t.JSON {
		return
	}
	how := "until it is stopped (Ctrl-C)"
	if s.Ends() {
		how = "to its end"
	}
	t.print("Watching %s by %s %s %s. AI, not verified; not a medical device.\n", s, b.Name, b.Version, how)
}

func (t *told) print(format string, args ...any) {
	if _, err := fmt.Fprintf(t.tty.out, format, args...); err != nil {
		t.failed(err) // as whoever reads it has gone
	}
}

func (t *told) failed(err error) {
	if t.fault == nil {
		t.fault = err
		t.stop(err)
	}
}

// frame tells of a frame.
func (t *told) frame(f live.Frame) {
	said := f.Said()
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.present
	t.frames, t.last, t.present = t.frames+1, said, said.Findings
	t.latencies = append(t.latencies, said.Latency)
	for _, p := range said.Findings {
		if !persisted(before, p.Class) && p.Role == analysis.RoleFinding {
			t.keep(f, p.Class)
		}
	}
	if t.JSON {
		if line, err := json.Marshal(said); err != nil {
			t.failed(err)
		} else {
			t.print("%s\n", line)
		}
		return
	}
	at := analysis.Clock(said.Time)
	for _, p := range said.Findings {
		if !persisted(before, p.Class) {
			t.print("%s  %s begins, frame %d, probability %.2f (smoothed %.2f)\n", at, p.Class, said.Frame, said.Probabilities[p.Class], p.Probability)
		}
	}
	for _, p := range before {
		if !persisted(said.Findings, p.Class) {
			t.print("%s  %s ends, frame %d\n", at, p.Class, said.Frame)
		}
	}
	if time.Since(t.second) >= 5*time.Second {
		t.count(at)
	}
}

func persisted(all []analysis.Present, class string) bool {
	return slices.ContainsFunc(all, func(p analysis.Present) bool { return p.Class == class })
}

// count tells how the analysis keeps up.
func (t *told) count(at string) {
	slices.Sort(t.latencies)
	n := len(t.latencies)
	if n == 0 {
		return
	}
	t.print("%s  %d frames analysed, %d dropped so far; %.1f a second, from frame to result %.0f ms (median), %.0f ms (95 of 100)\n",
		at, t.frames, t.last.Dropped, float64(n)/time.Since(t.second).Seconds(), t.latencies[n/2], t.latencies[n*95/100])
	t.latencies, t.second = t.latencies[:0], time.Now()
}

// keep writes the picture of a finding.
func (t *told) keep(f live.Frame, class string) {
	if t.Out == "" {
		return
	}
	path := filepath.Join(t.Out, fmt.Sprintf("frame-%06d-%s.png", f.Number, fileName(class)))
	if err := writePNG(path, t.draw(f)); err != nil {
		t.failed(err)
	}
}

// lost tells that the source is gone.
func (t *told) lost(why error, next time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.JSON {
		line, err := json.Marshal(struct {
			Lost string  `json:"lost"`
			Next float64 `json:"next_try_s"`
		}{why.Error(), next.Seconds()})
		if err != nil {
			t.failed(err)
		}
		t.print("%s\n", line)
		return
	}
	t.print("The source is gone: %v. It is tried again in %s.\n", why, next)
}

func (t *told) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.JSON || t.fault != nil {
		return
	}
	t.count(analysis.Clock(t.last.Time))
	t.print("The end, after %s: %d frames analysed, %d dropped.\n", time.Since(t.begun).Round(100*time.Millisecond), t.frames, t.last.Dropped)
}
