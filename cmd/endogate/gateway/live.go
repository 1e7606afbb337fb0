package gateway

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"image"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/configs"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/failure"
	"endogate/dicomnode/intake"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata/video"
	"endogate/explain"
	"endogate/explain/picture"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/live"
	"endogate/reports/draft"
)

// signals are those that the gateway watches. It implements admin.Live; its methods may be called from any goroutine.
type signals struct {
	all     []*signal
	colours *explain.ColourMap
	opacity float64
	orders  *ledger.Ledger
	intake  *intake.Receiver
	called  dicom.AETitle
	admit   func() error
}

// signal is one of them.
type signal struct {
	cfg   configs.Live
	from  video.Signal
	model *Watcher

	mu    sync.Mutex
	state admin.LiveSignal
	last  *live.Frame
	seen  []*live.Frame // that somebody has a picture of, the newest last
	said  chan struct{} // closed when there is more
	looks int           // how many follow
}

// Bounds of what looks at a signal.
const (
	mostFollow  = 32
	screenWidth = 960 // pixels of a picture
	captureAge  = 3 * time.Second
	seenBytes   = 96 << 20 // of the frames that are kept as somebody may capture them: a dozen of 1920 x 1080
)

// signalWaits are between tries of a signal whose model or decoder has failed.
var signalWaits = failure.Backoff{First: time.Second, Last: time.Minute}

// bundleOf is the model of a signal.
func bundleOf(bundles []*inference.Bundle, folders map[string]string, name string) *inference.Bundle {
	if name == "" && len(bundles) > 0 {
		return bundles[0]
	}
	for _, b := range bundles {
		if b.Name == cmp.Or(folders[name], name) {
			return b
		}
	}
	return nil
}

// openSignals loads a model for each signal of the configuration.
func (g *generation) openSignals(ctx context.Context, life *lifecycle) (*signals, error) {
	all := &signals{colours: g.workshop.Colours, opacity: g.cfg.Reports.Opacity, orders: g.ledger, intake: g.takes(), called: g.cfg.DICOM.AETitle, admit: g.admit}
	decoding := g.decoding()
	for i, c := range g.cfg.Live {
		fault := func(key string, err error) error { return configs.Fault(fmt.Sprintf("live[%d].%s", i, key), "%v", err) }
		s := &signal{cfg: c, from: video.Signal{Name: c.Source, Listen: c.Listen, Frames: new(atomic.Int64), FFmpeg: decoding.FFmpeg, Bounds: decoding.Bounds}, said: make(chan struct{})}
		if err := s.from.Check(); err != nil {
			return nil, fault("source", err)
		}
		b := bundleOf(g.models.Bundles, g.models.folders, c.Model)
		if b == nil {
			return nil, fault("model", fmt.Errorf("%q is none of models", c.Model))
		}
		model, err := OpenWatcher(ctx, g.cfg, b)
		if err != nil {
			return nil, fault("model", err)
		}
		life.closes(model.Close)
		s.model, s.state = model, admin.LiveSignal{Name: c.Name, Model: b.Name, Why: "no frame has come yet"}
		all.all = append(all.all, s)
		life.loop("live "+c.Name, func(ctx context.Context) error { return g.watchSignal(ctx, s) })
	}
	return all, nil
}

// watchSignal watches a signal until the gateway stops; a file ends.
func (g *parts) watchSignal(ctx context.Context, s *signal) error {
	waits := failure.Waits{Backoff: signalWaits}
	for ctx.Err() == nil {
		w := &live.Watch{Signal: s.from, Model: s.model, Show: s.frame, Lost: func(why error, _ time.Duration) {
			g.log.Warn("a live signal is gone: it is tried again", "signal", s.cfg.Name, "why", why)
			s.lost(why.Error())
		}, Log: g.log}
		err := w.Run(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			g.log.Info("a live signal has ended", "signal", s.cfg.Name)
			s.lost("the file has ended")
			<-ctx.Done()
			return nil
		}
		g.log.Error("a live signal is not watched: trying again", "signal", s.cfg.Name, "err", err)
		s.lost(err.Error())
		waits.Wait(ctx)
	}
	return nil
}

func (s *signal) frame(f live.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.state.Up, s.state.Why = &f, true, ""
	s.more()
}

// lost forgets the last frame, too: who looks next may have another patient before the camera.
func (s *signal) lost(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.seen, s.state.Up, s.state.Why = nil, nil, false, why
	s.more()
}

// more wakes those who follow.
func (s *signal) more() {
	close(s.said)
	s.said = make(chan struct{})
}

func (s *signal) now() (state admin.LiveSignal, last *live.Frame, said chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.last, s.said
}

func (s *signals) named(name string) (*signal, error) {
	i := slices.IndexFunc(s.all, func(one *signal) bool { return one.cfg.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("%w: there is no live signal of that name", admin.ErrNotFound)
	}
	return s.all[i], nil
}

// Signals implements admin.Live.
func (s *signals) Signals() (all []admin.LiveSignal) {
	for _, one := range s.all {
		state, _, _ := one.now()
		all = append(all, state)
	}
	return all
}

// followBeat is how often those who follow hear that the gateway is there.
const followBeat = 5 * time.Second

// Follow implements admin.Live.
func (s *signals) Follow(ctx context.Context, name string, do func(admin.LiveEvent) error) error {
	one, err := s.named(name)
	if err != nil {
		return err
	}
	one.mu.Lock()
	full := one.looks >= mostFollow
	if !full {
		one.looks++
		defer func() { one.mu.Lock(); one.looks--; one.mu.Unlock() }()
	}
	one.mu.Unlock()
	if full {
		return fmt.Errorf("%w: %d follow the signal", admin.ErrBusy, mostFollow)
	}
	tick := time.NewTicker(followBeat)
	defer tick.Stop()
	told, shown := admin.LiveSignal{}, (*live.Frame)(nil)
	for {
		state, last, said := one.now()
		if state != told {
			if err := do(admin.LiveEvent{Signal: &state}); err != nil {
				return err
			}
			told = state
		}
		if last != nil && last != shown {
			frame := last.Said()
			if err := do(admin.LiveEvent{Frame: &frame}); err != nil {
				return err
			}
			shown = last
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if err := do(admin.LiveEvent{}); err != nil {
				return err
			}
		case <-said:
		}
	}
}

// look is the frame of a signal that was analysed last, which is kept for a while for who has seen it.
func (s *signal) look() (*live.Frame, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		return nil, fmt.Errorf("%w: %s", admin.ErrGone, s.state.Why)
	}
	if n := len(s.seen); n == 0 || s.seen[n-1] != s.last {
		s.seen = append(s.seen, s.last)
	}
	bytes := 0
	for i := len(s.seen) - 1; i >= 0; i-- {
		if bytes += len(s.seen[i].Pix); bytes > seenBytes && i < len(s.seen)-1 || time.Since(s.seen[i].At) > captureAge {
			s.seen = slices.Delete(s.seen, 0, i+1)
			break
		}
	}
	return s.last, nil
}

// of is the frame of that number, which somebody has seen; 0: the one that was analysed last.
func (s *signal) of(number int) (*live.Frame, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		return nil, fmt.Errorf("%w: %s", admin.ErrGone, s.state.Why)
	}
	frame := s.last
	if number != 0 && number != frame.Number {
		i := slices.IndexFunc(s.seen, func(f *live.Frame) bool { return f.Number == number })
		if i < 0 {
			return nil, fmt.Errorf("%w: frame %d is not held any more: a frame can be captured for %s after its picture was asked for, the last ones at least; capture again", admin.ErrGone, number, captureAge)
		}
		frame = s.seen[i]
	}
	if age := time.Since(frame.At); age > captureAge {
		return nil, fmt.Errorf("%w: the frame is %s old; capture again where the signal goes on", admin.ErrGone, age.Round(time.Second))
	}
	return frame, nil
}

// Picture implements admin.Live.
func (s *signals) Picture(name string, heatmap bool) (image.Image, analysis.Live, error) {
	one, err := s.named(name)
	if err != nil {
		return nil, analysis.Live{}, err
	}
	last, err := one.look()
	if err != nil {
		return nil, analysis.Live{}, err
	}
	shown := last.RGBA
	if heatmap {
		shown = last.Drawn(s.colours, s.opacity)
	}
	size := last.Aspect.Shown(shown.Rect.Size())
	if size.X > screenWidth {
		size = image.Pt(screenWidth, size.Y*screenWidth/size.X)
	}
	return picture.Fitted(nil, shown, size), last.Said(), nil
}

// Capture implements admin.Live.
func (s *signals) Capture(ctx context.Context, name, accession string, number int, by draft.Author, from string) (admin.LiveCapture, error) {
	none := admin.LiveCapture{}
	one, err := s.named(name)
	if err != nil {
		return none, err
	}
	frame, err := one.of(number)
	if err != nil {
		return none, err
	}
	if err := s.admit(); err != nil {
		return none, err
	}
	orders, _, err := s.orders.Orders(ctx, ledger.OrderFilter{Accession: accession, Limit: 2})
	switch {
	case err != nil:
		return none, err
	case len(orders) == 0:
		return none, fmt.Errorf("%w: there is no order of that accession number", admin.ErrNotFound)
	case len(orders) > 1:
		return none, fmt.Errorf("%w: several orders have that accession number; see /api/v1/orders", admin.ErrRefused)
	case orders[0].State == ledger.OrderCancelled || orders[0].State == ledger.OrderCompleted:
		return none, fmt.Errorf("%w: the order is %s", admin.ErrRefused, orders[0].State)
	}
	made := captured{signal: one, frame: *frame, order: orders[0].Order, at: frame.At}
	ids := made.instance()
	data, err := made.dataset(ids).Append(nil, explicit)
	if err != nil {
		return none, err
	}
	user := by.Name
	if by.Unauthenticated {
		user = "" // named, and not proved
	}
	err = s.intake.Store(ctx, &dicomnode.StoreRequest{
		SOPClassUID: ids.SOPClassUID, SOPInstanceUID: ids.SOPInstanceUID, TransferSyntax: explicit.UID, CallingAE: one.cfg.CallingAE, CalledAE: s.called,
		User: user, RemoteAddr: from, Dataset: bytes.NewReader(data),
	})
	return admin.LiveCapture{SOPInstance: ids, Frame: frame.Number, At: frame.At, AccessionNumber: made.order.Accession}, err
}

var explicit, _ = dicom.LookupTransferSyntax(dicom.ExplicitVRLittleEndian)

// captured is a frame of a signal for an order.
type captured struct {
	signal *signal
	frame  live.Frame
	order  ledger.Order
	at     time.Time
}

// instance are the UIDs: what is captured twice of a frame is one.
func (c captured) instance() dicom.SOPInstance {
	study := c.order.StudyInstanceUID
	if !study.Valid() {
		study = dicom.DerivedUID("live.study", c.order.Accession, c.order.Patient.ID, c.order.Patient.Authority)
	}
	day := c.at.Format("20060102")
	return dicom.SOPInstance{
		SOPClassUID: dicom.VLEndoscopicImageStorage, StudyInstanceUID: study,
		SeriesInstanceUID: dicom.DerivedUID("live.series", string(study), c.signal.cfg.Name, day),
		SOPInstanceUID:    dicom.DerivedUID("live.instance", string(study), c.signal.cfg.Name, c.at.UTC().Format(time.RFC3339Nano), strconv.Itoa(c.frame.Number)),
	}
}

// dataset is a VL Endoscopic Image (PS3.3 A.32.1), uncompressed: what the camera or its stream lost is all that is lost.
func (c captured) dataset(ids dicom.SOPInstance) dicom.Dataset {
	size := c.frame.Rect.Size()
	rgb := make([]byte, 0, 3*size.X*size.Y+1)
	for i := 0; i < len(c.frame.Pix); i += 4 {
		rgb = append(rgb, c.frame.Pix[i:i+3]...)
	}
	day, at := c.at.Format("20060102"), c.at.Format("150405.000000")
	o := c.order
	begunDay, begunAt := day, "" // of the study: the same in each of its images
	if len(o.Steps) > 0 && !o.Steps[0].StartsAt.IsZero() {
		begunDay, begunAt = o.Steps[0].StartsAt.Format("20060102"), o.Steps[0].StartsAt.Format("150405")
	}
	ds := dicom.Dataset{
		dicom.ImageType: dicom.Text{"ORIGINAL", "PRIMARY"}, dicom.SOPClassUID: dicom.Text{string(ids.SOPClassUID)}, dicom.SOPInstanceUID: dicom.Text{string(ids.SOPInstanceUID)},
		dicom.StudyDate: dicom.Text{begunDay}, dicom.StudyTime: text(begunAt), dicom.ContentDate: dicom.Text{day}, dicom.ContentTime: dicom.Text{at},
		dicom.AcquisitionDateTime: dicom.Text{day + at}, dicom.AccessionNumber: dicom.Text{o.Accession}, dicom.Modality: dicom.Text{"ES"},
		dicom.Manufacturer: dicom.Text{"endogate"}, dicom.ReferringPhysicianName: text(o.Referrer), dicom.StationName: dicom.Text{string(c.signal.cfg.CallingAE)},
		dicom.PatientName: text(o.Patient.Name), dicom.PatientID: text(o.Patient.ID), dicom.PatientBirthDate: text(o.Patient.BirthDate), dicom.PatientSex: text(o.Patient.Sex),
		dicom.StudyInstanceUID: dicom.Text{string(ids.StudyInstanceUID)}, dicom.SeriesInstanceUID: dicom.Text{string(ids.SeriesInstanceUID)},
		dicom.StudyID: text(o.RequestedProcedureID), dicom.SeriesNumber: dicom.Ints{1}, dicom.InstanceNumber: dicom.Ints{c.frame.Number}, dicom.PatientOrientation: dicom.Text{}, dicom.Laterality: dicom.Text{},
		dicom.SamplesPerPixel: dicom.Ints{3}, dicom.PhotometricInterpretation: dicom.Text{"RGB"}, dicom.PlanarConfiguration: dicom.Ints{0},
		dicom.Rows: dicom.Ints{size.Y}, dicom.Columns: dicom.Ints{size.X}, dicom.BitsAllocated: dicom.Ints{8}, dicom.BitsStored: dicom.Ints{8},
		dicom.HighBit: dicom.Ints{7}, dicom.PixelRepresentation: dicom.Ints{0},
		// What was before the stream is not known: 1 is the ratio that is not wrong.
		dicom.LossyImageCompression: dicom.Text{"01"}, dicom.LossyImageCompressionRatio: dicom.Text{"1"}, dicom.AcquisitionContextSequence: dicom.Items{},
		dicom.PixelData: dicom.Bytes(rgb),
	}
	if aspect := c.frame.Aspect.Texts(); aspect != nil {
		ds[dicom.PixelAspectRatio] = dicom.Text(aspect)
	}
	if o.Patient.Authority != "" {
		ds[dicom.IssuerOfPatientID] = dicom.Text{o.Patient.Authority}
	}
	return ds
}

func text(s string) dicom.Text {
	if s == "" {
		return dicom.Text{}
	}
	return dicom.Text{s}
}
