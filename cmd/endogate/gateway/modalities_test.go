package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
)

// keepingPACS keeps the attributes of what it is sent.
type keepingPACS struct {
	mu   sync.Mutex
	kept []*dicom.Attributes
}

func (p *keepingPACS) Store(_ context.Context, req *dicomnode.StoreRequest) error {
	ts, _ := dicom.LookupTransferSyntax(req.TransferSyntax)
	attributes, err := dicom.ReadAttributes(req.Dataset, ts)
	if err == nil {
		_, err = io.Copy(io.Discard, req.Dataset)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = append(p.kept, attributes)
	return err
}

// of returns what was kept of a study and is of a SOP class.
func (p *keepingPACS) of(study dicom.UID, class dicom.UID) (out []*dicom.Attributes) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.kept {
		if a.UID(dicom.StudyInstanceUID) == study && a.UID(dicom.SOPClassUID) == class {
			out = append(out, a)
		}
	}
	return out
}

// polypJPEG is a frame in which the demo model finds something, and its size.
func polypJPEG(t *testing.T) (stream []byte, rows, columns int) {
	t.Helper()
	stream, err := os.ReadFile(filepath.Join(peers.Root(t), "testdata/frames/polyp-0dad158b.jpg"))
	require.NoError(t, err)
	attributes, err := dicom.ReadAttributes(bytes.NewReader(readPart10(t, sample(t, "study1-01*")[0]).content), dicom.TransferSyntax{UID: dicom.JPEGBaseline8Bit, ExplicitVR: true, Encapsulated: true})
	require.NoError(t, err)
	rows, _ = attributes.Int(dicom.Rows)
	columns, _ = attributes.Int(dicom.Columns)
	return stream, rows, columns
}

// What real modalities send, end to end: what is cut off is refused and leaves no trace; what is loose is kept, analysed as far
// as it goes, and said in the API, in the report and in the log, and what is made of it is valid.
func TestGateway_looseModalities(t *testing.T) {
	t.Parallel()
	pacs, address := &keepingPACS{}, fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	serveHandler(t, "PACS", address, pacs)
	g := newGateway(t, routeTo("PACS", address, ", forward_source: true"))
	g.start()
	jpeg, rows, columns := polypJPEG(t)
	half := jpeg[:len(jpeg)/2&^1]
	noEnd := jpeg[:bytes.LastIndex(jpeg, []byte("\xff\xd9"))]
	verbatim := func(v string) dicom.As { return dicom.As{Verbatim: true, Value: dicom.Text{v}} }
	frames := func(said int, streams ...[]byte) dicom.Dataset {
		return dicom.Dataset{
			dicom.SOPClassUID: dicom.Text{string(dicom.MultiFrameTrueColorSecondaryCapture)}, dicom.NumberOfFrames: dicom.Ints{said},
			dicom.PixelData: dicom.Encapsulate(streams...),
		}
	}
	cut := func(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:len(b)-n] } }
	longStudy := dicom.UID("2.25." + strings.Repeat("1", 68))

	type row struct {
		name    string
		more    dicom.Dataset
		change  func([]byte) []byte
		study   dicom.UID // where it is not that of its name
		refused bool
		remarks string   // part of them
		lacks   string   // part of why frames were not analysed
		frames  int      // analysed; 1 where 0
		note    string   // on its first frame
		dates   []string // Study Date, Study Time, Patient's Birth Date in the heatmap
		state   ledger.StudyStatus
		nothing bool // no heatmap and no report
	}
	rowsOf := []row{
		{name: "good"},
		{name: "fragment cut", change: cut(1000), refused: true},
		{name: "last element cut", more: dicom.Dataset{0x7FE10010: dicom.As{VR: "LO", Value: dicom.Text{"ACME"}}, 0x7FE11001: dicom.As{VR: "OB", Value: dicom.Bytes(make([]byte, 400))}}, change: cut(396), refused: true},
		{name: "no delimiter", change: cut(8), remarks: dicom.RemarkDelimiter},
		{name: "zeros for the delimiter", change: func(b []byte) []byte { return append(b[:len(b)-8:len(b)-8], make([]byte, 8)...) }, remarks: dicom.RemarkDelimiter},
		{name: "without end of image", more: dicom.Dataset{dicom.PixelData: dicom.Encapsulate(noEnd)}, note: pixeldata.NoteNoEnd},
		{name: "without the last bytes of the scan", more: dicom.Dataset{dicom.PixelData: dicom.Encapsulate(noEnd[:len(noEnd)-5])}, note: pixeldata.NoteNoEnd},
		{name: "one bad frame of four", more: frames(4, jpeg, jpeg, half, jpeg), frames: 3, lacks: "frame 3 of 4 not analysed: "},
		{name: "two frames of five missing", more: frames(5, jpeg, jpeg, jpeg), frames: 3, remarks: dicom.RemarkFewer, lacks: "frames 4-5 of 5 not analysed: "},
		{name: "no good frame", more: frames(2, half, half), frames: -1, state: ledger.StudyParked, nothing: true},
		{name: "study UID too long", more: dicom.Dataset{dicom.StudyInstanceUID: verbatim(string(longStudy))}, study: longStudy, remarks: "73 characters", note: "No heatmap can be made", state: ledger.StudyParked, nothing: true},
		{name: "dates with dashes", more: dicom.Dataset{dicom.StudyDate: verbatim("2026-01-02"), dicom.StudyTime: verbatim("10:15:00.1234567"), dicom.PatientBirthDate: verbatim("1960.01.02")}, dates: []string{"20260102", "101500.123456", "19600102"}},
		{name: "dates that are none", more: dicom.Dataset{dicom.StudyDate: verbatim("unknown"), dicom.StudyTime: verbatim("99:99"), dicom.PatientBirthDate: verbatim("00000000")}, dates: []string{"", "", ""}, remarks: "Patient's Birth Date cannot be read: results go without"},
	}
	studies := map[string]dicom.UID{}
	for _, r := range rowsOf {
		o := dicomtest.Options{Study: r.name, TransferSyntax: dicom.JPEGBaseline8Bit, JPEG: [][]byte{jpeg}, Rows: rows, Columns: columns, Accession: "A" + fmt.Sprint(len(studies)), More: dicom.Dataset{}}
		maps.Copy(o.More, r.more)
		_, header := dicomtest.Endoscopic(o)
		studies[r.name] = header.StudyInstanceUID
		if r.study != "" {
			studies[r.name] = r.study
		}
		instance := drawn(o)
		if r.change != nil {
			instance.content = r.change(instance.content)
		}
		assoc := associateAs(t, "SCOPE1", g.scp, instance)
		status, err := assoc.Store(t.Context(), instance.request())
		require.NoError(t, err)
		want := dimse.Success
		if r.refused {
			want = dimse.CannotUnderstand
		}
		require.Equal(t, want, status, "%s: %s", r.name, assoc.ErrorComment())
		require.NoError(t, assoc.Release(t.Context()))
	}
	settled := func(r row) bool {
		return slices.ContainsFunc(g.studies(), func(s admin.StudySummary) bool {
			return s.StudyInstanceUID == studies[r.name] && s.Status != ledger.StudyWorking
		})
	}
	for _, r := range rowsOf {
		if r.refused {
			assert.False(t, slices.ContainsFunc(g.studies(), func(s admin.StudySummary) bool { return s.StudyInstanceUID == studies[r.name] }), r.name)
			continue
		}
		g.waitFor(r.name, func() bool { return settled(r) })
		study := g.study(studies[r.name])
		if r.state == "" {
			r.state = ledger.StudyDone
		}
		assert.Equal(t, r.state, study.Status, r.name)
		require.Len(t, study.Instances, 1, r.name)
		i := study.Instances[0]
		assert.Contains(t, i.Remarks, r.remarks, r.name)
		if r.remarks == "" {
			assert.Empty(t, i.Remarks, r.name)
		}
		require.Len(t, i.Analyses, 1, r.name)
		a := i.Analyses[0]
		if r.frames == 0 {
			r.frames = 1
		}
		assert.Len(t, a.Frames, max(0, r.frames), r.name)
		if r.frames > 0 {
			assert.Equal(t, ledger.JobDone, a.State, "%s: %s", r.name, a.Reason)
			assert.Contains(t, a.Frames[0].Note, r.note, r.name)
		}
		assert.Contains(t, a.Reason, r.lacks, r.name)
		heatmaps, reports := pacs.of(studies[r.name], dicom.SecondaryCaptureImageStorage), pacs.of(studies[r.name], dicom.Comprehensive3DSRStorage)
		if r.nothing {
			assert.Empty(t, heatmaps, r.name)
			continue
		}
		assert.Len(t, heatmaps, r.frames, r.name)
		require.Len(t, reports, 1, r.name)
		if r.lacks != "" {
			assert.Contains(t, allText(reports[0]), r.lacks[:len("frame 3 of 4")], "the report names them")
		}
		if r.dates != nil {
			h := heatmaps[0]
			assert.Equal(t, r.dates, []string{h.Text(dicom.StudyDate), h.Text(dicom.StudyTime), h.Text(dicom.PatientBirthDate)}, r.name)
		}
	}
}

// allText is all text in a and the items in it.
func allText(a *dicom.Attributes) string {
	var b strings.Builder
	for tag := range a.Tags() {
		e, _ := a.Get(tag)
		b.WriteString(strings.Join(a.Texts(tag), " ") + "\n")
		for _, item := range e.Items {
			b.WriteString(allText(item))
		}
	}
	return b.String()
}
