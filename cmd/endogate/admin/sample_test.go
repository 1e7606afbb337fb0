package admin

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // the sample frames
	_ "image/png"  // their masks
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/inference/analysis"
	"endogate/reports/draft"

	"github.com/stretchr/testify/require"
)

// hospital is an in-memory gateway: two endoscopies with real frames, a hostile patient name, a destination that
// is down and work that is parked.
type hospital struct {
	office  office
	mu      sync.Mutex
	studies []Study
	parked  []Parked
	images  map[string]func() (image.Image, error)
	acted   []string

	maps, sentBy []string // what was sent, and by whom

	byPhysician bool // misses may be counted by who reported
	retracted   []string
	decided     map[string]ledger.Review
	reloads     atomic.Int32 // of the configuration
	version     string       // of the model, that was put in force; empty: the configured one
	err         error        // what every view answers, when set
}

const evil = `<img src=x onerror="document.title='owned'">`

var sampleTime = time.Date(2026, 11, 4, 9, 31, 7, 0, time.UTC)

func framePath(name string) string {
	return filepath.Join("..", "..", "..", "testdata", "frames", name)
}

func newHospital(t testing.TB) *hospital {
	t.Helper()
	h := &hospital{images: map[string]func() (image.Image, error){}}
	h.studies = []Study{
		h.colonoscopy("2.25.1001", "Nováková^Jana^^MUDr.=", "7405121234", "ACC-2026-004711", ledger.StudyWorking),
		h.colonoscopy("2.25.1002", evil, evil, `"><script>alert(1)</script>`, ledger.StudyDone),
		h.unanalysed("2.25.1003"),
	}
	h.parked = []Parked{
		{
			Kind: ParkedDelivery, ID: "42", StudyInstanceUID: "2.25.1002", SOPInstanceUID: "2.25.1002.90", Purpose: "sr", Destination: "his",
			Attempts: 4, Status: "0122", Reason: "peer does not take Comprehensive SR: ask its vendor for SOP class 1.2.840.10008.5.1.4.1.1.88.33", At: sampleTime, Bulk: true,
		},
		{
			Kind: ParkedJob, ID: "e7.demo-colon", StudyInstanceUID: "2.25.1001", SOPInstanceUID: "2.25.1001.5", Model: "demo-colon", Attempts: 5,
			Reason: "pixeldata: JPEG stream ends early: the capture is damaged at its source " + evil, At: sampleTime, Bulk: true,
		},
		{Kind: ParkedExam, ID: "3", StudyInstanceUID: "2.25.1001", Model: "demo-colon", Reason: "reports: SR would not keep to its IOD: Patient's Sex is no code string: correct it at the modality", At: sampleTime, Bulk: true},
		{Kind: ParkedInstance, ID: "e9", StudyInstanceUID: "2.25.1003", SOPInstanceUID: "2.25.1003.2", Reason: "no route matches", At: sampleTime},
	}
	return h
}

var sampleCodes = map[string]dicom.Code{
	"polyp":  {Value: "68496003", Scheme: "SCT", Meaning: "Polyp of colon"},
	"normal": {Value: "17621005", Scheme: "SCT", Meaning: "Normal"},
	"colon":  {Value: "71854001", Scheme: "SCT", Meaning: "Colon"},
	"cecum":  {Value: "32713005", Scheme: "SCT", Meaning: "Cecum"},
	"bowel":  {Value: "413261003", Scheme: "SCT", Meaning: "Inadequate bowel preparation"},
}

var sampleModel = Model{
	Name: "demo-colon", Version: "1.0.0", Kind: "still", Manufacturer: "endogate",
	IntendedUse: "Demonstration of colonoscopy frame classification with explanations. Not for clinical use.",
	Digest:      "9f8b0c6d8ad1c3ab3c0a8bf5a7b9a6d2a1be1e4a35c1c7f4d3c2b1a09f8e7d6c", Rows: 160, Columns: 160, Method: "gradcam", Layer: "last",
	Classes: []analysis.Class{
		{Name: "polyp", Role: "finding", Threshold: 0.5, Finding: sampleCodes["polyp"], Site: sampleCodes["colon"]},
		{Name: "normal-cecum", Role: "landmark", Threshold: 0.5, Finding: sampleCodes["normal"], Site: sampleCodes["cecum"]},
		{Name: "normal-mucosa", Role: "normal", Threshold: 0.5, Finding: sampleCodes["normal"], Site: sampleCodes["colon"]},
		{Name: "inadequate-preparation", Role: "quality", Threshold: 0.5, Finding: sampleCodes["bowel"], Site: sampleCodes["colon"]},
	},
}

// colonoscopy is an exam of seven frames with heatmaps, an SR and a KOS, and two destinations.
func (h *hospital) colonoscopy(uid dicom.UID, name, id, accession string, status ledger.StudyStatus) Study {
	s := Study{StudySummary: StudySummary{
		NotAnalysedWhy:   []string{},
		StudyInstanceUID: uid, PatientName: name, PatientID: id, AccessionNumber: accession, StudyDate: "20261104", StudyTime: "093000.000",
		StudyDescription: "Colonoscopy, screening", Modality: "ES", Status: status, FirstAt: sampleTime, LastAt: sampleTime.Add(11 * time.Minute),
	}}
	for i, file := range []string{"polyp-0017b7c7", "cecum-1", "polyp-035a608d", "bbps-0-1-1", "polyp-050ffdb1", "bbps-2-3-1", "polyp-0e845ea2"} {
		h.capture(&s, i+1, file)
	}
	last := s.Timeline[len(s.Timeline)-1].At
	for i, purpose := range []string{"sr", "kos"} {
		h.deliver(&s, Object{
			SOPInstance: instance(s.StudyInstanceUID, 90+i, "1.2.840.10008.5.1.4.1.1.88.34"), Purpose: purpose, Model: "demo-colon",
			Revision: 1, MadeAt: last.Add(time.Minute),
		})
	}
	s.Exams = []Exam{{ID: "1", Route: "endoscopy", Model: "demo-colon", State: ledger.ExamReported, Revision: 1, LastAt: s.LastAt, ReportedAt: last.Add(time.Minute)}}
	s.InstanceCount, s.FrameCount = len(s.Instances), len(s.Instances)
	for _, d := range s.Deliveries {
		switch d.State {
		case ledger.DeliveryDone:
			s.DeliveryCounts.Done++
		case ledger.DeliveryPending:
			s.DeliveryCounts.Pending++
			s.OpenCount++
		}
	}
	return s
}

func instance(study dicom.UID, n int, class dicom.UID) dicom.SOPInstance {
	return dicom.SOPInstance{
		SOPClassUID: class, SOPInstanceUID: dicom.UID(fmt.Sprintf("%s.%d", study, n)), SeriesInstanceUID: study + ".800", StudyInstanceUID: study,
	}
}

// capture adds one received frame, its analysis and its heatmap.
func (h *hospital) capture(s *Study, n int, file string) {
	at := s.FirstAt.Add(time.Duration(n) * 40 * time.Second)
	in := Instance{
		SOPInstance: instance(s.StudyInstanceUID, n, "1.2.840.10008.5.1.4.1.1.77.1.1"), Entry: fmt.Sprintf("e%s-%d", s.StudyInstanceUID, n),
		State: ledger.InstanceAnalysed, Route: "endoscopy", Modality: "ES", StationName: "ENDO-3", InstanceNumber: n, NumberOfFrames: 1, TransferSyntaxUID: dicom.JPEGBaseline8Bit,
		CallingAE: "SCOPE1", CalledAE: "ENDOGATE", ReceivedAt: at, Size: 154_233, Digest: strings.Repeat("ab", 32),
	}
	source := func() (image.Image, error) { return readImage(framePath(file + ".jpg")) }
	h.images[in.Entry], h.images[string(in.SOPInstanceUID)] = source, source
	result := analysis.Result{Span: analysis.Still(1), Rows: 528, Columns: 622}
	step := func(after time.Duration, uid dicom.UID, what, destination, status, detail string) {
		s.Timeline = append(s.Timeline, Event{At: at.Add(after), Count: 1, SOPInstanceUID: uid, Step: what, Destination: destination, Status: status, Detail: detail})
	}
	step(0, in.SOPInstanceUID, "received", "", "0000", "from SCOPE1, JPEG Baseline, 154 kB")
	step(time.Second, in.SOPInstanceUID, "analysis started", "", "", "demo-colon, attempt 1")
	class, probability := classOf(file), 0.97-0.03*float64(n)
	result.Scores = map[string]float64{"polyp": .02, "normal-cecum": .01, "normal-mucosa": .03, "inadequate-preparation": .01}
	result.Scores[class] = probability
	for _, c := range sampleModel.Classes {
		if c.Name != class {
			continue
		}
		f := c.Seen(probability)
		mask := framePath(filepath.Join("masks", file+".png"))
		result.Rows, result.Columns = sizeOf(framePath(file + ".jpg"))
		if class == "polyp" {
			f.Contours = ring(hotSpot(result.Columns, result.Rows, mask))
			f.Drawn = &analysis.Drawn{
				Explanation: analysis.Explanation{Method: "gradcam", Layer: "last", Fallback: "Grad-CAM at the last layer, as the layer that was asked for has no grid."},
				Crop:        [4]int{0, 0, result.Columns, result.Rows}, Masked: [][4]int{{0, result.Rows * 2 / 3, result.Columns / 3, result.Rows}},
				Width: 3, Height: 3, Values: []byte{0, 32, 64, 32, 255, 128, 255, 255, 255},
			}
			s.FindingCount++
		}
		heat := Object{
			SOPInstance: instance(s.StudyInstanceUID, 50+n, "1.2.840.10008.5.1.4.1.1.7"), Purpose: "heatmap", Model: "demo-colon",
			Source: in.SOPInstanceUID, Frame: 1, Span: analysis.Still(1), Revision: 1, MadeAt: at.Add(2 * time.Second),
		}
		f.Heatmap = heat.SOPInstanceUID
		h.images[string(heat.SOPInstanceUID)] = func() (image.Image, error) { return heatmap(framePath(file+".jpg"), mask) }
		result.Findings = []analysis.Finding{f}
		step(1400*time.Millisecond, in.SOPInstanceUID, "analysed", "", "", fmt.Sprintf("demo-colon: 1 of 4 classes over threshold, %d ms", 310+n))
		h.deliver(s, heat)
	}
	done := Analysis{Job: in.Entry + ".demo-colon", Model: "demo-colon", State: ledger.JobDone, Attempts: 1, InferredAt: at.Add(time.Second)}
	done.MadeBy = analysis.Model{Manufacturer: sampleModel.Manufacturer, Name: sampleModel.Name, Version: sampleModel.Version, Digest: sampleModel.Digest}
	done.Add([]analysis.Result{result})
	in.Analyses = []Analysis{done}
	s.Instances = append(s.Instances, in)
}

func classOf(file string) string {
	switch {
	case strings.HasPrefix(file, "polyp"):
		return "polyp"
	case strings.HasPrefix(file, "cecum"):
		return "normal-cecum"
	case strings.HasPrefix(file, "bbps-0"):
		return "inadequate-preparation"
	}
	return "normal-mucosa"
}

func (h *hospital) deliver(s *Study, o Object) {
	s.Objects = append(s.Objects, o)
	s.Timeline = append(s.Timeline, Event{At: o.MadeAt, Count: 1, SOPInstanceUID: o.SOPInstanceUID, Step: "made", Detail: o.Purpose})
	for _, destination := range []string{"pacs", "his"} {
		d := Delivery{SOPInstance: o.SOPInstance, ID: fmt.Sprint(len(s.Deliveries) + 1), Destination: destination, Purpose: o.Purpose, State: ledger.DeliveryDone, Attempts: 1, EndedAt: o.MadeAt.Add(time.Second), Status: "0000"}
		if destination == "his" && s.Status == ledger.StudyWorking {
			d.State, d.Status, d.Attempts, d.NextAt, d.EndedAt = ledger.DeliveryPending, "A700", 3, o.MadeAt.Add(time.Minute), time.Time{}
			d.Reason = "peer is out of resources: it is tried again by itself"
		}
		step := map[ledger.DeliveryState]string{ledger.DeliveryDone: "delivered", ledger.DeliveryPending: "deferred"}[d.State]
		s.Timeline = append(s.Timeline, Event{At: o.MadeAt.Add(time.Second), Count: d.Attempts, LastAt: o.MadeAt.Add(time.Duration(d.Attempts*d.Attempts) * time.Second), SOPInstanceUID: o.SOPInstanceUID, Step: step, Destination: destination, Status: d.Status})
		s.Deliveries = append(s.Deliveries, d)
	}
}

// unanalysed is a video that no model takes, with nothing but nil lists.
func (h *hospital) unanalysed(uid dicom.UID) Study {
	s := Study{StudySummary: StudySummary{
		StudyInstanceUID: uid, PatientName: "Yamada^Tarou=山田^太郎=やまだ^たろう", PatientID: "P-0003", StudyDate: "20261103", Modality: "ES",
		StudyDescription: "Gastroscopy", Urgent: true, Status: ledger.StudyNotAnalysed, FirstAt: sampleTime.Add(-24 * time.Hour), LastAt: sampleTime.Add(-23 * time.Hour), InstanceCount: 1, NotAnalysed: 1, NotAnalysedWhy: []string{"video"}, FrameCount: 1200,
	}}
	s.Instances = []Instance{{
		SOPInstance: instance(uid, 1, "1.2.840.10008.5.1.4.1.1.77.1.1.1"), Entry: "e-video", Modality: "ES", InstanceNumber: 1, NumberOfFrames: 1200,
		TransferSyntaxUID: "1.2.840.10008.1.2.4.102", CallingAE: "SCOPE2", ReceivedAt: s.FirstAt, Size: 1 << 30, State: ledger.InstanceNotAnalysed, Reason: "video is not analysed by any model of route endoscopy",
	}}
	h.images["e-video"] = func() (image.Image, error) { return nil, fmt.Errorf("%w: video", ErrUnsupported) }
	return s
}

var pictures sync.Map // by name, as they are drawn

// drawn draws a picture once for all tests: nobody changes it.
func drawn(name string, draw func() (image.Image, error)) (image.Image, error) {
	once, _ := pictures.LoadOrStore(name, sync.OnceValues(draw))
	return once.(func() (image.Image, error))()
}

func readImage(path string) (image.Image, error) {
	return drawn(path, func() (image.Image, error) {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		img, _, err := image.Decode(bytes.NewReader(b))
		return img, err
	})
}

func sizeOf(path string) (rows, columns int) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, 0
	}
	c, _, err := image.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return 0, 0
	}
	return c.Height, c.Width
}

func inside(mask image.Image, x, y int) bool {
	r, _, _, _ := mask.At(x, y).RGBA()
	return r > 0x7fff
}

var hotSpots sync.Map // by mask

// hotSpot is the middle and the size of the mask's blob, or of the frame when there is no mask.
func hotSpot(width, height int, mask string) (cx, cy, r float64) {
	if known, ok := hotSpots.Load(mask); ok {
		spot := known.([3]float64)
		return spot[0], spot[1], spot[2]
	}
	defer func() { hotSpots.Store(mask, [3]float64{cx, cy, r}) }()
	m, err := readImage(mask)
	if err != nil {
		return float64(width) / 2, float64(height) / 2, float64(width) / 3
	}
	var n, sx, sy float64
	for y := 0; y < height; y += 5 {
		for x := 0; x < width; x += 5 {
			if inside(m, x, y) {
				n, sx, sy = n+1, sx+float64(x), sy+float64(y)
			}
		}
	}
	return sx / n, sy / n, math.Sqrt(25*n/math.Pi) * 1.3
}

// ring is where the hot spot has fallen to half, closed.
func ring(cx, cy, r float64) [][][2]float64 {
	var polygon [][2]float64
	for i := range 49 {
		sin, cos := math.Sincos(float64(i%48) / 48 * 2 * math.Pi)
		polygon = append(polygon, [2]float64{math.Round(cx + .83*r*cos), math.Round(cy + .83*r*sin)})
	}
	return [][][2]float64{polygon}
}

// heatmap blends a smooth hot spot, where the mask is or in the middle, over the frame: as a grad-CAM overlay looks.
func heatmap(frame, mask string) (image.Image, error) {
	return drawn(frame+" "+mask, func() (image.Image, error) { return drawHeatmap(frame, mask) })
}

func drawHeatmap(frame, mask string) (image.Image, error) {
	src, err := readImage(frame)
	if err != nil {
		return nil, err
	}
	b := src.Bounds()
	cx, cy, r := hotSpot(b.Dx(), b.Dy(), mask)
	out := image.NewRGBA(b)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			v := math.Exp(-(math.Pow(float64(x)-cx, 2) + math.Pow(float64(y)-cy, 2)) / (r * r))
			sr, sg, sb, _ := src.At(x, y).RGBA()
			hot := func(centre float64) float64 { return 255 * max(0, min(1, 1.5-math.Abs(4*v-centre))) }
			mix := func(s uint32, c float64) uint8 { return uint8(.6*float64(s>>8) + .4*c) }
			out.SetRGBA(x, y, color.RGBA{mix(sr, hot(3)), mix(sg, hot(2)), mix(sb, hot(1)), 255})
		}
	}
	return out, nil
}

func (h *hospital) Studies(_ context.Context, f StudyFilter) ([]StudySummary, int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []StudySummary
	for _, s := range h.studies {
		if (f.PatientID == "" || f.PatientID == s.PatientID) && (f.AccessionNumber == "" || f.AccessionNumber == s.AccessionNumber) &&
			(f.StudyInstanceUID == "" || f.StudyInstanceUID == s.StudyInstanceUID) && (f.Status == "" || f.Status == s.Status) && h.finds(f, s) {
			all = append(all, s.StudySummary)
		}
	}
	return page(all, f.Limit, f.Offset), len(all), h.err
}

func page[T any](all []T, limit, offset int) []T {
	offset = min(offset, len(all))
	return all[offset:min(offset+limit, len(all))]
}

func (h *hospital) Study(_ context.Context, uid dicom.UID, p Page) (Study, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.studies {
		if s.StudyInstanceUID == uid {
			s.Totals = StudyTotals{len(s.Instances), len(s.Objects), len(s.Deliveries), len(s.Timeline)}
			s.Instances = nil
			s.Objects, s.Deliveries, s.Timeline = page(s.Objects, p.Limit, p.Offset), slices.Clone(page(s.Deliveries, p.Limit, p.Offset)), slices.Clone(page(s.Timeline, p.Limit, p.Offset))
			return s, h.err
		}
	}
	return Study{}, fmt.Errorf("study %s: %w", uid, ErrNotFound)
}

func (h *hospital) Instances(_ context.Context, uid dicom.UID, p Page) ([]Instance, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.studies {
		if s.StudyInstanceUID == uid {
			return slices.Clone(page(s.Instances, p.Limit, p.Offset)), h.err
		}
	}
	return nil, h.err
}

func (h *hospital) Outbox(_ context.Context, f DeliveryFilter) ([]Delivery, int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []Delivery
	for _, s := range h.studies {
		for _, d := range s.Deliveries {
			if (f.Destination == "" || f.Destination == d.Destination) && (f.State == "" || f.State == d.State) {
				all = append(all, d)
			}
		}
	}
	return page(all, f.Limit, f.Offset), len(all), h.err
}

func (h *hospital) Parked(_ context.Context, f ParkedFilter) ([]Parked, int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.DeleteFunc(slices.Clone(h.parked), func(p Parked) bool { return f.Kind != "" && p.Kind != f.Kind })
	return page(all, f.Limit, f.Offset), len(all), h.err
}

func (h *hospital) Retry(_ context.Context, kind ParkedKind, id string) error {
	return h.act("retry", kind, id)
}

func (h *hospital) Discard(_ context.Context, kind ParkedKind, id string) error {
	return h.act("discard", kind, id)
}

func (h *hospital) act(what string, kind ParkedKind, id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := slices.IndexFunc(h.parked, func(p Parked) bool { return p.Kind == kind && p.ID == id })
	if at < 0 {
		return fmt.Errorf("%s %s is not parked: %w", kind, id, ErrConflict)
	}
	h.parked = slices.Delete(h.parked, at, at+1)
	h.acted = append(h.acted, fmt.Sprintf("%s %s %s", what, kind, id))
	return h.err
}

func (h *hospital) Destinations(context.Context) ([]Destination, error) {
	return []Destination{
		{Name: "pacs", Up: true, Kind: "dicom", AETitle: "ORTHANC", Address: "10.20.0.15:4242", Counts: ledger.DeliveryCounts{Done: 42}, LastAt: sampleTime},
		{Name: "his", Kind: "dicom", AETitle: "HISARCH", Address: "10.20.0.40:11112", Counts: ledger.DeliveryCounts{Pending: 9, Parked: 3}, Retriable: 1, LastError: "peer answered 0xA700 out of resources: tried again at 09:43:10"},
	}, h.err
}

func (h *hospital) Echo(_ context.Context, name string) (EchoResult, error) {
	switch name {
	case "pacs":
		return EchoResult{OK: true, Status: "0000", Took: 3217 * time.Microsecond}, h.err
	case "his":
		return EchoResult{Reason: "10.20.0.40:11112: connection refused: is the archive running?", Took: time.Millisecond}, h.err
	}
	return EchoResult{}, fmt.Errorf("destination: %w", ErrNotFound)
}

func (h *hospital) RetryParked(_ context.Context, name string) (int, error) {
	if name != "his" {
		return 0, fmt.Errorf("destination: %w", ErrNotFound)
	}
	return 3, h.err
}

// Messages implements Orders.
func (h *hospital) Messages(_ context.Context, f MessageFilter) ([]Message, int, error) {
	all := []Message{
		{ID: "m1", Type: "ORM^O01", Application: "RIS", ControlID: "1", At: sampleTime, LastAt: sampleTime, Count: 1, Answer: "AA", About: []ledger.Subject{{StudyInstanceUID: "2.25.1001"}}, Kept: true},
		{ID: "gone", Type: "ORM^O01", Application: "RIS", ControlID: "2", At: sampleTime, LastAt: sampleTime, Count: 1, Answer: "AE", Error: "101 PID-3: a patient needs an identifier"},
	}
	all = slices.DeleteFunc(all, func(m Message) bool { return f.Answer != "" && m.Answer != f.Answer })
	return page(all, f.Limit, f.Offset), len(all), h.err
}

func (h *hospital) Orders(_ context.Context, f OrderFilter) ([]ledger.OrderView, int, error) {
	colonoscopy := ledger.Order{
		Accession: "ACC-2026-004711", StudyInstanceUID: "2.25.1001", Placer: ledger.Identifier{ID: "P1", Authority: "HIS"}, Filler: ledger.Identifier{ID: "F1"},
		Patient: ledger.Person{Identifier: ledger.Identifier{ID: "7405121234", Authority: "CZ"}, Name: "Nováková^Jana", BirthDate: "19740512", Sex: "F"},
		Service: dicom.Code{Value: "73761001", Scheme: "SCT", Meaning: "Colonoscopy"}, Reason: evil, Priority: ledger.Stat,
		Steps: []ledger.Step{{ID: "S1", Modality: "ES", StationAE: "SCOPE1", StartsAt: sampleTime}}, State: ledger.OrderOpen,
		Sender: "RIS", Message: "m1", ChangedAt: sampleTime,
	}
	all := []ledger.OrderView{
		{Order: colonoscopy, Contested: true, Studies: []ledger.OrderStudy{{StudyInstanceUID: "2.25.1001", Mismatches: []ledger.Mismatch{ledger.MismatchContested}, Held: true}}},
		{Order: ledger.Order{Accession: "A2", Priority: ledger.Routine, State: ledger.OrderCancelled, ChangedAt: sampleTime}},
	}
	all = slices.DeleteFunc(all, func(o ledger.OrderView) bool {
		return f.State != "" && o.State != f.State || f.Mismatch != "" && len(o.Studies) == 0
	})
	return page(all, f.Limit, f.Offset), len(all), h.err
}

func (h *hospital) Message(_ context.Context, id string) (io.ReadCloser, string, error) {
	switch id {
	case "m1":
		return io.NopCloser(strings.NewReader("MSH|" + evil)), "x-application/hl7-v2+er7", h.err
	case "gone":
		return nil, "", ErrGone
	}
	return nil, "", ErrNotFound
}

func (h *hospital) Rendered(_ context.Context, instance string, frame int) (image.Image, error) {
	render, ok := h.images[instance]
	if !ok || frame != 1 {
		return nil, fmt.Errorf("frame: %w", ErrNotFound)
	}
	return render()
}

// Timeline implements Frames: of the first instance of a study alone, by any model but tea.
func (h *hospital) Timeline(ctx context.Context, study, sop dicom.UID, model string) (image.Image, error) {
	if model == "tea" || !strings.HasSuffix(string(sop), ".1") {
		return nil, fmt.Errorf("timeline: %w", ErrNotFound)
	}
	return h.Rendered(ctx, string(sop), 1)
}

// Explain implements Explanations: any class but tea.
func (h *hospital) Explain(ctx context.Context, study, sop dicom.UID, frame int, q Question) (Explanation, error) {
	if q.Class == "tea" {
		return Explanation{}, fmt.Errorf("%w: there is no class tea", ErrRefused)
	}
	picture, err := h.Rendered(ctx, string(sop), frame)
	e := Explanation{
		StudyInstanceUID: study, SOPInstanceUID: sop, Frame: frame, Model: "demo-colon", Version: "1.0.0", Digest: "d0", Class: cmp.Or(q.Class, "polyp"), Against: q.Against,
		Method: "gradcam", Title: "Grad-CAM", Layer: cmp.Or(q.Layer, "conv5"), Probabilities: []ClassProbability{{"polyp", 0.94, 0.5}},
		Grid: Grid{1, 2, []float32{0, 1}}, Notes: []string{"AI, not verified"}, Picture: picture,
	}
	if len(q.Black) > 0 { // of all that is there, what is black is the polyp
		e.Probabilities[0].Probability = 0.2
	}
	if q.As == AsMap && err == nil {
		e.Map = &Laid{Columns: picture.Bounds().Dx(), Rows: picture.Bounds().Dy(), Width: 2, Height: 1, Values: []byte{0, 255}, Max: 1, Unseen: append([][4]int{}, q.Black...)}
	}
	return e, err
}

// Faithfulness implements Explanations.
func (h *hospital) Faithfulness(ctx context.Context, study, sop dicom.UID, frame int, q Question) (Faithfulness, error) {
	e, err := h.Explain(ctx, study, sop, frame, q)
	return Faithfulness{
		Model: e.Model, Class: e.Class, Method: e.Method, Layer: e.Layer, Notes: e.Notes,
		Deletion: Curve{[]float64{0.94, 0.5, 0.1}, 0.5}, Insertion: Curve{[]float64{0.1, 0.8, 0.94}, 0.66},
	}, err
}

// Picture implements Explanations: of a PNG or a JPEG.
func (h *hospital) Picture(_ context.Context, file []byte, _ int) (image.Image, error) {
	picture, _, err := image.Decode(bytes.NewReader(file))
	if err != nil {
		err = fmt.Errorf("%w: no picture", ErrUnsupported)
	}
	return picture, err
}

// Try implements Explanations.
func (h *hospital) Try(ctx context.Context, file []byte, q Question) (Explanation, error) {
	picture, err := h.Picture(ctx, file, 1)
	if err != nil {
		return Explanation{}, err
	}
	e, err := h.Explain(ctx, "2.25.1001", "2.25.1001.1", 1, q)
	e.StudyInstanceUID, e.SOPInstanceUID, e.Frame = "", "", 1
	if e.Map != nil {
		e.Map.Columns, e.Map.Rows = picture.Bounds().Dx(), picture.Bounds().Dy()
	}
	return e, err
}

// SendMap implements Maps: of any class but tea, once.
func (h *hospital) SendMap(_ context.Context, study, sop dicom.UID, frame int, q Question, by draft.Author) (SentMap, error) {
	switch {
	case q.Class == "tea" || len(q.Black) > 0:
		return SentMap{}, fmt.Errorf("%w: there is no class tea", ErrRefused)
	case study != "2.25.1001" || frame > 2:
		return SentMap{}, ErrNotFound
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	key := fmt.Sprint(sop, frame, q.Model, q.Class, q.Against, q.Method, q.Layer, q.Colours, q.Opacity)
	if slices.Contains(h.maps, key) {
		return SentMap{SOPInstanceUID: "2.25.77", Destinations: []string{}}, nil
	}
	h.maps, h.sentBy = append(h.maps, key), append(h.sentBy, by.Name)
	return SentMap{SOPInstanceUID: "2.25.77", Made: true, Destinations: []string{"pacs"}}, nil
}

// Network implements Explanations.
func (h *hospital) Network(_ context.Context, model string) (Network, error) {
	if model != sampleModel.Name {
		return Network{}, ErrNotFound
	}
	return Network{
		Model: model, Version: "1.0.0", Columns: 160, Rows: 160, Classes: 4,
		Layers: []NetworkLayer{
			{Name: "conv1", Channels: 32, Rows: 80, Columns: 80, Sees: 7, Block: true},
			{Name: "conv4", Channels: 128, Rows: 10, Columns: 10, Sees: 147},
			{Name: "conv5", Channels: 192, Rows: 10, Columns: 10, Sees: 160, Block: true, Last: true},
		},
		Methods: []NetworkMethod{
			{Name: "gradcam", Title: "Grad-CAM", AtLayer: true}, {Name: "gradient", Title: "Gradient"}, {Name: "guided-gradcam", Title: "Guided Grad-CAM", AtLayer: true},
		},
	}, nil
}

func (h *hospital) Gauges(context.Context) (Gauges, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	parked := map[ParkedKind]int{}
	for _, p := range h.parked {
		parked[p.Kind]++
	}
	return Gauges{
		QueueLag: 2, OldestJobSeconds: 3.5, OpenJobs: 3, SpoolLag: 1, PendingByPeer: map[string]int{"pacs": 0, "his": 9}, ParkedJobs: parked[ParkedJob], ParkedExams: parked[ParkedExam], ParkedDeliveries: parked[ParkedDelivery],
		HeldInstances: parked[ParkedInstance], RefusedEntries: 2,
		TurnedAway:   []TurnedAway{{AETitle: "SCOPE1", Address: "10.1.9.4", Why: NotAddress, Count: 12, FirstAt: sampleTime.Add(-time.Hour), LastAt: sampleTime}},
		SpoolEntries: 431, SpoolBytes: 1_932_735_283, SpoolDisk: 2_147_483_648, InodesFree: 26_000_000, DiskFree: 412 << 30, DiskReserve: 10 << 30,
	}, h.err
}

// newServer is a server over h whose checks all hold.
func newServer(t testing.TB, h *hospital) *Server {
	t.Helper()
	holds := func(context.Context) error { return nil }
	v := Version{Version: "0.1.0", Commit: "036f2b7", Go: "go1.26", AETitle: "ENDOGATE", Started: sampleTime}
	s := &Server{
		Studies: h, Queue: h, Destinations: h, Frames: h, Explanations: h, Maps: h, Orders: h, Gate: h, Reviews: h, Screenings: h, Live: room{}, Operations: h, Retractions: h, Drafts: &h.office, Gauges: h.Gauges, Settings: func() Settings { return sampleSettings }, Version: v, Metrics: NewMetrics(v, h.Gauges),
		Checks: []Check{{Name: "disk above reserve", Probe: holds}, {Name: "ledger readable", Probe: holds}, {Name: "JetStream up", Advisory: true, Probe: holds}},
		Log:    slog.New(slog.DiscardHandler),
	}
	t.Cleanup(func() { require.NoError(t, s.Shutdown(context.Background())) })
	return s
}

var sampleSettings = Settings{Models: []Model{sampleModel}, Palette: samplePalette()}

// samplePalette is jet, as the gateway has it by default.
func samplePalette() Palette {
	p := Palette{Opacity: 0.4, Named: map[string][]string{}}
	hot := func(v, centre float64) int { return int(math.Round(255 * max(0, min(1, 1.5-math.Abs(4*v-centre))))) }
	for i := range 256 {
		v := float64(i) / 255
		p.Colours = append(p.Colours, fmt.Sprintf("#%02x%02x%02x", hot(v, 3), hot(v, 2), hot(v, 1)))
	}
	p.Named["jet"] = p.Colours
	return p
}

// The screening of the hospital.
var sampleScreening = ledger.Screening{
	Name: "fedcba9876543210", From: sampleTime.Add(-24 * time.Hour), Before: sampleTime, State: ledger.ScreeningRunning, Author: "Dr A", MadeAt: sampleTime, EndedAt: sampleTime,
	Of: 9, Studies: 4, Compared: 3, Reread: 1, Offered: 12, Open: 5, Done: 6, Failed: 1,
}

func (h *hospital) Screenings(_ context.Context, after string, p Page) ([]ledger.Screening, int, error) {
	if after != "" || p.Offset > 0 {
		return nil, 1, nil
	}
	return []ledger.Screening{sampleScreening}, 1, nil
}

func (h *hospital) Screening(_ context.Context, name string) (ledger.Screening, error) {
	if name != sampleScreening.Name {
		return ledger.Screening{}, ErrNotFound
	}
	return sampleScreening, nil
}

func (h *hospital) StartScreening(context.Context, time.Time, time.Time, draft.Author) (ledger.Screening, error) {
	return sampleScreening, nil
}

func (h *hospital) CancelScreening(ctx context.Context, name string, _ draft.Author) (ledger.Screening, error) {
	return h.Screening(ctx, name)
}

// The reviews of the hospital.
var sampleReview = ledger.Review{
	Name: "0123456789abcdef", Study: "1.2.3", State: ledger.ReviewOpen, Kind: "missed", Priority: 1, Model: "demo-colon", ModelVersion: "1.0.0", Finding: "polyp", Class: "polyp", Probability: 0.94, Threshold: 0.5, Frames: 2,
	Sources: []ledger.ReviewFrame{{SOPInstanceUID: "1.2.3.4", Frame: 1, Probability: 0.9}},
	Report:  ledger.ReportFinding{Finding: "polyp", Status: "negated", Sentence: "No polyps were seen in the whole colon.", Rule: "en/negation/no", End: 9, Marks: []ledger.Mark{{Start: 0, End: 2}, {Start: 3, End: 9}}},
}

// sampleReviews are two that are open, until they are decided; the second is hostile and has no picture.
func (h *hospital) sampleReviews() []ledger.Review {
	first, second := sampleReview, sampleReview
	for _, s := range h.studies[:1] {
		first.Study = s.StudyInstanceUID
		for _, i := range s.Instances {
			for _, a := range i.Analyses {
				for _, f := range a.Frames {
					for _, found := range f.Findings {
						if found.Heatmap != "" && len(first.Sources) == 1 && first.Sources[0].Heatmap == "" {
							first.Sources = []ledger.ReviewFrame{{SOPInstanceUID: i.SOPInstanceUID, Frame: 1, Probability: found.Probability, Heatmap: found.Heatmap}}
						}
					}
				}
			}
		}
	}
	second.Name, second.Kind, second.Priority, second.Finding, second.Sources, second.Frames, second.Class = "fedcba9876543210", "not-seen", 3, "ulcer", nil, 0, evil
	second.Report = ledger.ReportFinding{Finding: "ulcer", Status: "positive", Sentence: "Kleines Ülkus, " + evil, Rule: "en/term/ulcer", Marks: []ledger.Mark{{Start: 8, End: 14}}}
	out := []ledger.Review{}
	for _, r := range []ledger.Review{first, second} {
		if d, ok := h.decided[r.Name]; ok {
			r = d
		}
		out = append(out, r)
	}
	return out
}

func (h *hospital) Reviews(_ context.Context, f ledger.ReviewFilter) (page []ledger.Review, total int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.sampleReviews() {
		if r.State == f.State || r.Study == f.Study {
			page = append(page, r)
		}
	}
	if f.Offset > 0 || f.After.ID != "" {
		return nil, len(page), h.err
	}
	return page, len(page), h.err
}

func (h *hospital) Review(_ context.Context, name string) (ledger.Review, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.sampleReviews() {
		if r.Name == name {
			return r, nil
		}
	}
	return ledger.Review{}, ErrNotFound
}

func (h *hospital) ReviewCounts(context.Context, time.Time, time.Time) ([]ledger.ReviewCount, error) {
	return []ledger.ReviewCount{{Month: "2026-11", Model: "demo-colon", ModelVersion: "1.0.0", Finding: "polyp", Site: sampleCodes["colon"], Threshold: 0.5, Agreed: 3, Confirmed: 1, Missed: 1}}, nil
}

func (h *hospital) PhysicianCounts(context.Context, time.Time, time.Time) ([]ledger.ReviewCount, error) {
	if !h.byPhysician {
		return nil, fmt.Errorf("%w: the configuration does not allow that misses are counted by reporting physician (reading.by_physician)", ErrForbidden)
	}
	count := ledger.ReviewCount{Model: "demo-colon", ModelVersion: "1.0.0", Finding: "polyp", Site: sampleCodes["colon"], Threshold: 0.5, Agreed: 3, Confirmed: 1, Missed: 1}
	named, nobody := count, count
	named.Physician = &ledger.Physician{Identifier: ledger.Identifier{ID: "4711", Authority: "HOSP"}, Name: "Meier^<b>Anna"}
	nobody.Physician = &ledger.Physician{}
	return []ledger.ReviewCount{nobody, named}, nil
}

func (h *hospital) ByPhysician() bool { return h.byPhysician }

func (h *hospital) Decide(ctx context.Context, name string, state ledger.ReviewState, d ledger.ReviewDecision, by draft.Author) (ledger.Review, error) {
	r, err := h.Review(ctx, name)
	if err != nil {
		return r, err
	}
	if strings.Contains(d.Comment, "refuse") {
		return r, fmt.Errorf("%w: report and results are others now", ErrRefused)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	r.State, r.ReviewDecision = state, d
	r.Author, r.Unauthenticated, r.DecidedAt = by.Name, by.Unauthenticated, sampleTime
	if h.decided == nil {
		h.decided = map[string]ledger.Review{}
	}
	h.decided[name] = r
	return r, nil
}
