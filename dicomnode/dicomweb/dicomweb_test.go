package dicomweb_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dicomweb"
	"endogate/dicomnode/intake"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/ledger/ledgertest"
	"endogate/dicomnode/spool"
)

// hospital is a gateway's stores with DICOMweb on them.
type hospital struct {
	t        *testing.T
	spool    *spool.Spool
	ledger   *ledger.Ledger
	follower *intake.Follower
	receiver *intake.Receiver
	web      *dicomweb.Server
	log      bytes.Buffer
	now      time.Time
}

func open(t *testing.T) *hospital {
	t.Helper()
	h := &hospital{t: t, now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
	dir := t.TempDir()
	var err error
	h.ledger, err = ledgertest.Open(filepath.Join(dir, "ledger.db"), ledger.Open)
	require.NoError(t, err)
	h.spool, err = spool.Open(filepath.Join(dir, "spool"), spool.Options{SegmentSize: 4 << 20, InlineLimit: 256 << 10})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, errors.Join(h.spool.Close(), h.ledger.Close())) })
	log := slog.New(slog.NewTextHandler(&h.log, nil))
	routes := intake.Router{{Name: "endoscopy", Models: []string{"demo"}, Destinations: []string{"pacs"}}}
	h.follower = &intake.Follower{Spool: h.spool, Ledger: h.ledger, Router: routes, Jobs: func() {}, Deliveries: func() {}, Log: log}
	h.receiver = &intake.Receiver{Spool: h.spool, Now: func() time.Time { return h.now }, Stored: func(string, int64) {}, Log: log}
	h.web = &dicomweb.Server{Ledger: h.ledger, Spool: h.spool, Log: log}
	return h
}

// receive takes instances in as C-STORE does, and returns their headers and data sets.
func (h *hospital) receive(all ...dicomtest.Options) (headers []dicom.Header, datasets [][]byte) {
	h.t.Helper()
	for _, o := range all {
		data, header := dicomtest.Endoscopic(o)
		syntax := o.TransferSyntax
		if syntax == "" {
			syntax = dicom.ExplicitVRLittleEndian
		}
		require.NoError(h.t, h.receiver.Store(h.t.Context(), &dicomnode.StoreRequest{
			SOPClassUID: header.SOPClassUID, SOPInstanceUID: header.SOPInstanceUID, TransferSyntax: syntax, CallingAE: "SCOPE1", Dataset: bytes.NewReader(data),
		}))
		headers, datasets = append(headers, header), append(datasets, data)
		h.now = h.now.Add(time.Second)
	}
	require.NoError(h.t, h.follower.CatchUp(h.t.Context()))
	return headers, datasets
}

func (h *hospital) ask(method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, dicomweb.Root+target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.web.ServeHTTP(w, r)
	return w
}

func path(h dicom.Header) string {
	return fmt.Sprintf("/studies/%s/series/%s/instances/%s", h.StudyInstanceUID, h.SeriesInstanceUID, h.SOPInstanceUID)
}

type model map[string]struct {
	VR          string `json:"vr"`
	Value       []any
	BulkDataURI string
}

// find searches and returns one attribute of each result, as text.
func (h *hospital) find(target, tag string) []string {
	h.t.Helper()
	w := h.ask("GET", target)
	if w.Code == http.StatusNoContent {
		require.Zero(h.t, w.Body.Len())
		return nil
	}
	require.Equal(h.t, http.StatusOK, w.Code, "%s: %s", target, w.Body)
	var results []model
	require.NoError(h.t, json.Unmarshal(w.Body.Bytes(), &results), "%s", w.Body)
	var values []string
	for _, r := range results {
		values = append(values, strings.Trim(fmt.Sprint(r[tag].Value), "[]"))
	}
	return values
}

// parts takes an answer of several parts apart.
func parts(t *testing.T, w *httptest.ResponseRecorder, media string) (bodies [][]byte, types []string) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
	require.NoError(t, err, "%d %s", w.Code, w.Body)
	require.Equal(t, "multipart/related", kind)
	require.Equal(t, media, params["type"])
	reader := multipart.NewReader(w.Body, params["boundary"])
	for {
		p, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return bodies, types
		}
		require.NoError(t, err)
		body, err := io.ReadAll(p)
		require.NoError(t, err)
		bodies, types = append(bodies, body), append(types, p.Header.Get("Content-Type"))
	}
}

const dicomParts = `multipart/related; type="application/dicom"; transfer-syntax=*`

// Everything that is received can be searched for, by what PS3.18 has keys and patterns for, and what is not done is said.
func TestSearch(t *testing.T) {
	h := open(t)
	a := dicomtest.Options{Study: "a", Series: "1", PatientID: "P1", PatientName: "Nov\xe1kov\xe1^Jana", CharacterSet: "ISO_IR 100", Accession: "A-1"}
	a2, b := a, dicomtest.Options{Study: "b", PatientID: "P2", PatientName: "Smith^John", Accession: "A-2", More: dicom.Dataset{dicom.StudyDate: dicom.Text{"20260211"}, dicom.Modality: dicom.Text{"OT"}}}
	a2.Series, a2.Instance = "2", 7
	a2.Frames = 3
	a2.More = dicom.Dataset{dicom.SeriesNumber: dicom.Ints{2}}
	headers, _ := h.receive(a, a2, b)
	studyA, studyB := string(headers[0].StudyInstanceUID), string(headers[2].StudyInstanceUID)
	const uid, seriesUID, sopUID = "0020000D", "0020000E", "00080018"
	for _, tt := range []struct {
		query string
		want  []string
	}{
		{"", []string{studyB, studyA}},
		{"?PatientID=P1", []string{studyA}},
		{"?00100020=P1", []string{studyA}},
		{"?PatientID=P*", []string{studyB, studyA}},
		{"?PatientID=P%3F", []string{studyB, studyA}},
		{"?PatientName=nov%C3%A1kov%C3%A1*", []string{studyA}},
		{"?PatientName=SMITH%5EJOHN", []string{studyB}},
		{"?PatientName=", []string{studyB, studyA}},
		{"?PatientName=*", []string{studyB, studyA}},
		{"?PatientName=Nobody", nil},
		{"?AccessionNumber=A-2", []string{studyB}},
		{"?StudyDate=20260102", []string{studyA}},
		{"?StudyDate=20260101-20260131", []string{studyA}},
		{"?StudyDate=20260201-", []string{studyB}},
		{"?StudyDate=-20260201", []string{studyA}},
		{"?StudyDate=20270101-20280101", nil},
		{"?StudyTime=10-11", []string{studyB, studyA}},
		{"?StudyTime=1016-11", nil},
		{"?ModalitiesInStudy=OT", []string{studyB}},
		{"?StudyInstanceUID=" + studyA, []string{studyA}},
		{"?StudyInstanceUID=" + studyA + "," + studyB, []string{studyB, studyA}},
		{"?StudyInstanceUID=" + studyA + `%5C` + studyB, []string{studyB, studyA}},
		{"?StudyInstanceUID=1.2.3", nil},
		{"?PatientBirthDate=19700101&PatientSex=O", []string{studyB, studyA}},
		{"?PatientSex=F", nil},
		{"?limit=1", []string{studyB}},
		{"?limit=1&offset=1", []string{studyA}},
		{"?offset=2", nil},
		{"?NumberOfStudyRelatedInstances=2", []string{studyA}},
		{"?StudyInstanceUID=*", []string{studyB, studyA}},
		{"?StudyInstanceUID=" + strings.ReplaceAll(studyA, ".", "%2E"), []string{studyA}},
		{"?StudyDate=20260101+-+20260131", []string{studyA}},
		{"?StudyDate=20260101-", []string{studyB, studyA}},
		{"?StudyDate=2027-", nil},
		{"?StudyDate=-2026", []string{studyB, studyA}},
		{"?StudyTime=10:00-11:00", []string{studyB, studyA}},
		{"?StudyTime=10:15:00-", []string{studyB, studyA}},
		{"?StudyTime=110000.000000-120000.000000", nil},
		{"?PatientID=P1%20", []string{studyA}},
		{"?PatientID=%2A1", []string{studyA}},
		{"?patientid=P1", []string{studyA}},
		{"?PatientID=p1", nil},
		{"?PatientName=smith%2A", []string{studyB}},
		{"?PatientName=Smith%2CJohn", nil},
		{"?StudyComments=nothing", nil},
		{"?ModalitiesInStudy=CT,OT", []string{studyB}},
		{"?ModalitiesInStudy=ES%5COT", []string{studyB, studyA}},
		{"?ModalitiesInStudy=ES&ModalitiesInStudy=OT", []string{studyB, studyA}},
		{"?StudyInstanceUID=1.2&StudyInstanceUID=" + studyA, []string{studyA}},
		{"?orderby=PatientName&_=1764486000&limit=1", []string{studyB}},
		{"?limit=0", []string{studyB, studyA}},
		{"?limit=1&offset=99999", nil},
	} {
		assert.Equal(t, tt.want, h.find("/studies"+tt.query, uid), tt.query)
	}
	assert.Equal(t, []string{string(headers[0].SeriesInstanceUID), string(headers[1].SeriesInstanceUID)}, h.find("/studies/"+studyA+"/series", seriesUID))
	assert.Equal(t, []string{string(headers[1].SeriesInstanceUID)}, h.find("/studies/"+studyA+"/series?SeriesNumber=2", seriesUID))
	assert.Equal(t, []string{"2"}, h.find("/studies/"+studyA+"/series?SeriesInstanceUID="+string(headers[1].SeriesInstanceUID), "00200011"))
	assert.Equal(t, []string{studyB, studyA, studyA}, h.find("/series", uid))
	assert.Equal(t, []string{studyB}, h.find("/series?Modality=OT", uid))
	assert.Equal(t, []string{string(headers[0].SOPInstanceUID), string(headers[1].SOPInstanceUID)}, h.find("/studies/"+studyA+"/instances", sopUID))
	assert.Equal(t, []string{string(headers[1].SOPInstanceUID)}, h.find("/studies/"+studyA+"/instances?NumberOfFrames=3", sopUID))
	assert.Equal(t, []string{string(headers[1].SOPInstanceUID)}, h.find("/studies/"+studyA+"/instances?limit=1&offset=1", sopUID))
	assert.Equal(t, []string{string(headers[1].SOPInstanceUID)}, h.find(fmt.Sprintf("/studies/%s/series/%s/instances", studyA, headers[1].SeriesInstanceUID), sopUID))
	assert.Equal(t, []string{string(headers[2].SOPInstanceUID)}, h.find("/instances?PatientID=P2", sopUID))
	assert.Equal(t, []string{"Endogate Test"}, h.find("/instances?PatientID=P2&includefield=Manufacturer", "00080070"))
	assert.Equal(t, []string{"Endogate Test"}, h.find("/instances?PatientID=P2&includefield=all", "00080070"))
	assert.Equal(t, []string{""}, h.find("/instances?PatientID=P2", "00080070"), "nobody asked for it")

	w := h.ask("GET", "/studies?PatientID=P1&fuzzymatching=true")
	assert.Contains(t, w.Header().Get("Warning"), "299 endogate \"The fuzzymatching parameter is not supported. Only literal matching has been performed.\"")
	assert.Equal(t, "application/dicom+json", w.Header().Get("Content-Type"))
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	assert.Contains(t, h.ask("GET", "/studies?limit=1").Header().Get("Warning"), "more results")
	assert.Empty(t, h.ask("GET", "/studies?limit=2").Header().Get("Warning"))
	assert.Contains(t, h.ask("GET", "/studies?Modality=ES").Header().Get("Warning"), "lower level")
	assert.Contains(t, h.ask("GET", "/studies?orderby=PatientName").Header().Get("Warning"), "not supported and were ignored")
	for _, field := range []string{"SeriesDescription,ImageComments", "00204000", "imagecomments", "all", "RequestAttributesSequence", "StudyComments"} {
		w := h.ask("GET", "/instances?includefield="+field)
		assert.Equal(t, http.StatusOK, w.Code, field)
		assert.Empty(t, w.Header().Get("Warning"), field)
	}
	assert.Contains(t, h.ask("GET", "/instances?includefield=RequestAttributesSequence.ScheduledProcedureStepID").Header().Get("Warning"), "includefield")
	for target, code := range map[string]int{
		"/studies?Tea=1": 400, "/studies?limit=-1": 400, "/studies?limit=x": 400, "/studies?PatientID=1&PatientID=2": 400, "/studies?%zz": 400, "/studies?offset=9999999": 400,
		"/studies/1.2.3/series": 404, "/studies/%21/series": 400, "/studies/" + studyA + "/series/1.2/instances": 404, "/worklist": 404,
	} {
		assert.Equal(t, code, h.ask("GET", target).Code, target)
	}
	assert.Equal(t, http.StatusNotAcceptable, h.ask("GET", "/studies", "Accept", "application/dicom+xml").Code)
	assert.Equal(t, http.StatusMethodNotAllowed, h.ask("DELETE", "/studies").Code)
	var study []model
	require.NoError(t, json.Unmarshal(h.ask("GET", "/studies?PatientID=P1").Body.Bytes(), &study))
	for tag, want := range map[string]string{
		"00080005": "[ISO_IR 192]", "00100010": "[map[Alphabetic:Nováková^Jana]]", "00080061": "[ES]", "00201206": "[2]", "00201208": "[2]",
		"00080056": "[ONLINE]", "00081190": "[http://example.com/dicom-web/studies/" + studyA + "]", "00100030": "[19700101]",
	} {
		assert.Equal(t, want, fmt.Sprint(study[0][tag].Value), tag)
	}
	assert.Contains(t, study[0], "00080090", "what is not known has no value")
	assert.NotContains(t, h.log.String(), "Jana")
}

// What comes out is what went in, byte by byte, in every transfer syntax; who does not take it as it is stored is told.
func TestRetrieve(t *testing.T) {
	h := open(t)
	options := []dicomtest.Options{
		{Study: "a", Instance: 1},
		{Study: "a", Instance: 2, TransferSyntax: dicom.JPEGBaseline8Bit},
		{Study: "a", Instance: 3, TransferSyntax: dicom.RLELossless},
		{Study: "a", Series: "2", Instance: 4, Rows: 400, Columns: 400, Frames: 2}, // a file of its own
	}
	headers, datasets := h.receive(options...)
	study := "/studies/" + string(headers[0].StudyInstanceUID)
	whole := func(file []byte) (dicom.FileMeta, []byte) {
		r := bufio.NewReader(bytes.NewReader(file))
		meta, err := dicom.ReadFileMeta(r)
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		return meta, data
	}
	files, types := parts(t, h.ask("GET", study, "Accept", dicomParts), "application/dicom")
	require.Len(t, files, 4)
	for i, file := range files {
		meta, data := whole(file)
		assert.Equal(t, datasets[i], data)
		assert.Equal(t, headers[i].SOPInstanceUID, meta.SOPInstanceUID)
		assert.Equal(t, "SCOPE1", meta.SourceApplicationEntityTitle)
		assert.Equal(t, "application/dicom; transfer-syntax="+string(meta.TransferSyntaxUID), types[i])
	}
	files, _ = parts(t, h.ask("GET", study+"/series/"+string(headers[3].SeriesInstanceUID)), "application/dicom")
	require.Len(t, files, 1)
	w := h.ask("GET", path(headers[1]), "Accept", "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50")
	require.Equal(t, http.StatusOK, w.Code)
	_, data := whole(w.Body.Bytes())
	assert.Equal(t, datasets[1], data)
	assert.Equal(t, fmt.Sprint(w.Body.Len()), w.Header().Get("Content-Length"))
	head := h.ask("HEAD", path(headers[1]), "Accept", "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50")
	assert.Zero(t, head.Body.Len())
	assert.Equal(t, w.Header(), head.Header())

	w = h.ask("GET", study, "Accept", `multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.5`)
	assert.Equal(t, http.StatusPartialContent, w.Code)
	assert.Contains(t, w.Header().Get("Warning"), "other transfer syntaxes")
	files, _ = parts(t, w, "application/dicom")
	assert.Len(t, files, 1)
	for accept, code := range map[string]int{
		"": 200, "*/*": 200, `multipart/related;type=application/dicom;transfer-syntax=*`: 200, `text/html, multipart/related; type="application/dicom"; q=0.1`: 200,
		`multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.90`: 406, "application/dicom": 406, "image/jpeg": 406, `multipart/related; type="application/dicom"; q=0`: 406,
	} {
		assert.Equal(t, code, h.ask("GET", study, "Accept", accept).Code, accept)
	}

	w = h.ask("GET", study, "Accept", dicomParts)
	tag := w.Header().Get("ETag")
	require.NotEmpty(t, tag)
	assert.Equal(t, "private, no-cache", w.Header().Get("Cache-Control"))
	assert.Contains(t, w.Header().Get("Vary"), "Cookie")
	again := h.ask("GET", study, "Accept", dicomParts, "If-None-Match", `"x", W/`+tag)
	assert.Equal(t, http.StatusNotModified, again.Code)
	assert.Zero(t, again.Body.Len())
	h.receive(dicomtest.Options{Study: "a", Instance: 5})
	assert.Equal(t, http.StatusOK, h.ask("GET", study, "Accept", dicomParts, "If-None-Match", tag).Code, "it has grown")
}

// Metadata have all of a data set but its pixels, and what they refer to is there.
func TestMetadata(t *testing.T) {
	h := open(t)
	const private, creator dicom.Tag = 0x00091001, 0x00090010
	long := bytes.Repeat([]byte("0123456789abcdef"), 20<<10)
	headers, _ := h.receive(
		dicomtest.Options{Study: "a", Instance: 1, PatientName: "Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", CharacterSet: `\ISO 2022 IR 87`, More: dicom.Dataset{
			creator: dicom.Text{"ENDOGATE TEST"}, private: dicom.As{VR: "OB", Value: dicom.Bytes(long)},
			dicom.RequestAttributesSequence: dicom.Items{{}, {dicom.StudyDescription: dicom.Text{"in it"}, creator: dicom.Text{"X"}, private: dicom.As{VR: "OB", Value: dicom.Bytes(long[16:])}}},
		}},
		dicomtest.Options{Study: "a", Instance: 2, TransferSyntax: dicom.JPEGBaseline8Bit, Frames: 2})
	study := "/studies/" + string(headers[0].StudyInstanceUID)
	w := h.ask("GET", study+"/metadata")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "application/dicom+json", w.Header().Get("Content-Type"))
	var all []model
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &all))
	require.Len(t, all, 2)
	for tag, want := range map[string]string{
		"00080005": "[ISO_IR 192]", "00100010": "[map[Alphabetic:Yamada^Tarou Ideographic:山田^太郎]]", "00280010": "[48]", "00200013": "[1]", "00200020": "[]",
		"00080008": "[ORIGINAL PRIMARY]", "00091001": "[]",
	} {
		assert.Equal(t, want, fmt.Sprint(all[0][tag].Value), tag)
	}
	root := "http://example.com" + dicomweb.Root
	assert.Equal(t, root+path(headers[0])+"/bulkdata/00091001", all[0]["00091001"].BulkDataURI)
	bulk := func(uri string) []byte {
		w := h.ask("GET", strings.TrimPrefix(uri, root), "Accept", "application/octet-stream")
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		return w.Body.Bytes()
	}
	assert.Equal(t, long, bulk(all[0]["00091001"].BulkDataURI))
	items := all[0]["00400275"].Value
	require.Len(t, items, 2)
	assert.Empty(t, items[0])
	inner, _ := items[1].(map[string]any)["00091001"].(map[string]any)
	assert.Equal(t, long[16:], bulk(inner["BulkDataURI"].(string)))
	pixels, _ := dicomtest.Endoscopic(dicomtest.Options{Study: "a", Instance: 1})
	assert.Equal(t, pixels[len(pixels)-64*48*3:], bulk(all[0]["7FE00010"].BulkDataURI))
	fragments, types := parts(t, h.ask("GET", strings.TrimPrefix(all[1]["7FE00010"].BulkDataURI, root), "Accept", `multipart/related; type="application/octet-stream"`), "application/octet-stream")
	require.Len(t, fragments, 2)
	assert.Equal(t, "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.50", types[0])
	assert.Equal(t, http.StatusNotModified, h.ask("GET", study+"/metadata", "If-None-Match", w.Header().Get("ETag")).Code)
	for target, code := range map[string]int{
		path(headers[0]) + "/bulkdata/00091002": 404, path(headers[0]) + "/bulkdata/tea": 400, path(headers[0]) + "/bulkdata/00400275.3.00091001": 404,
		path(headers[0]) + "/bulkdata/00400275.0.00091001": 400, path(headers[0]) + "/bulkdata/00400275.1": 400, study + "/series/1.2/metadata": 404,
	} {
		assert.Equal(t, code, h.ask("GET", target).Code, target)
	}
	assert.Equal(t, http.StatusNotAcceptable, h.ask("GET", study+"/metadata", "Accept", `multipart/related; type="application/dicom+xml"`).Code)
}

// Frames come as they are stored, and as samples where that is asked for.
func TestFrames(t *testing.T) {
	h := open(t)
	headers, datasets := h.receive(
		dicomtest.Options{Study: "a", Instance: 1, Frames: 3},
		dicomtest.Options{Study: "a", Instance: 2, Frames: 3, TransferSyntax: dicom.JPEGBaseline8Bit},
		dicomtest.Options{Study: "a", Instance: 3, TransferSyntax: dicom.RLELossless})
	const size = 64 * 48 * 3
	stored := `multipart/related; type="application/octet-stream"; transfer-syntax=*`
	frames, types := parts(t, h.ask("GET", path(headers[0])+"/frames/3,1", "Accept", stored), "application/octet-stream")
	end := len(datasets[0])
	assert.Equal(t, [][]byte{datasets[0][end-size:], datasets[0][end-3*size : end-2*size]}, frames)
	assert.Equal(t, "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1", types[0])

	frames, types = parts(t, h.ask("GET", path(headers[1])+"/frames/2", "Accept", stored), "application/octet-stream")
	assert.Equal(t, []string{"application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.50"}, types)
	picture, err := jpeg.Decode(bytes.NewReader(frames[0]))
	require.NoError(t, err)
	assert.Equal(t, 64, picture.Bounds().Dx())
	assert.Contains(t, string(datasets[1]), string(frames[0]), "the very codestream")
	w := h.ask("GET", path(headers[1])+"/frames/2", "Accept", "image/jpeg")
	assert.Equal(t, "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50", w.Header().Get("Content-Type"))
	assert.Equal(t, frames[0], w.Body.Bytes())

	frames, types = parts(t, h.ask("GET", path(headers[1])+"/frames/2", "Accept", `multipart/related; type="application/octet-stream"`), "application/octet-stream")
	assert.Equal(t, []string{"application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"}, types)
	require.Len(t, frames[0], size)
	r, g, b, _ := picture.At(32, 24).RGBA()
	at := (24*64 + 32) * 3
	for c, want := range []uint32{r, g, b} {
		assert.InDelta(t, want>>8, frames[0][at+c], 3)
	}
	frames, _ = parts(t, h.ask("GET", path(headers[2])+"/frames/1", "Accept", `multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1`), "application/octet-stream")
	drawn := dicomtest.Picture(64, 48, 3001)
	assert.Equal(t, drawn.Pix[4*(24*64+32):][:3], frames[0][at:at+3], "lossless")

	for target, code := range map[string]int{"/frames/4": 404, "/frames/1,4": 404, "/frames/1%2C4": 404, "/frames/0": 400, "/frames/1,": 400, "/frames/01": 400, "/frames/" + strings.Repeat("1,", 1000) + "1": 413} {
		assert.Equal(t, code, h.ask("GET", path(headers[1])+target, "Accept", stored).Code, target)
	}
	assert.Equal(t, http.StatusNotAcceptable, h.ask("GET", path(headers[1])+"/frames/1", "Accept", "image/jls").Code)
	assert.Equal(t, http.StatusNotAcceptable, h.ask("GET", path(headers[1])+"/frames/1,2", "Accept", "image/jpeg").Code)
	w = h.ask("GET", path(headers[1])+"/frames/1", "Accept", stored)
	assert.Equal(t, http.StatusNotModified, h.ask("GET", path(headers[1])+"/frames/1", "Accept", stored, "If-None-Match", w.Header().Get("ETag")).Code)
	assert.Equal(t, http.StatusOK, h.ask("GET", path(headers[1])+"/frames/1", "Accept", stored+", image/jpeg", "If-None-Match", w.Header().Get("ETag")).Code, "of another form")
}

// What has gone is 410 with where it may be, of what is there in part the rest comes with a word of it, and what never was is 404.
func TestGone(t *testing.T) {
	h := open(t)
	h.follower.Router = intake.Router{{Name: "endoscopy", Destinations: []string{"pacs"}, ForwardSource: true}}
	headers, _ := h.receive(dicomtest.Options{Study: "a", Instance: 1})
	due, err := h.ledger.DueDeliveries(t.Context(), "pacs", h.now.Add(time.Hour), time.Hour, 10)
	require.NoError(t, err)
	require.Len(t, due, 1)
	require.NoError(t, h.ledger.Delivered(t.Context(), due[0].ID, due[0].Entry, ledger.Answer{}, h.now))
	more, _ := h.receive(dicomtest.Options{Study: "a", Instance: 2, Series: "2"})
	study := "/studies/" + string(headers[0].StudyInstanceUID)
	require.Equal(t, http.StatusOK, h.ask("GET", study).Code)

	released, err := h.ledger.Release(t.Context(), h.now, 10, h.now)
	require.NoError(t, err)
	require.Len(t, released, 1)
	require.NoError(t, h.spool.Release(released...))
	for target, code := range map[string]int{
		path(headers[0]): 410, path(headers[0]) + "/metadata": 410, path(headers[0]) + "/frames/1": 410, study + "/series/" + string(headers[0].SeriesInstanceUID): 410,
		path(more[0]): 200, study + "/metadata": 200, study: 206, study + "/series": 200, study + "/instances": 200, "/studies/1.2.3": 404, study + "/series/1.2": 404, "/studies/1.2.3/series/1.2/instances/1.2": 404,
		strings.Replace(path(more[0]), string(more[0].SeriesInstanceUID), string(headers[0].SeriesInstanceUID), 1): 404,
	} {
		w := h.ask("GET", target)
		assert.Equal(t, code, w.Code, "%s: %s", target, w.Body)
		switch code {
		case 410:
			assert.Contains(t, w.Body.String(), "ask the archive")
			assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		case 206:
			assert.Contains(t, w.Header().Get("Warning"), "have gone")
		}
	}
	assert.Equal(t, []string{"1"}, h.find("/studies", "00201208"))
}

// An answer that cannot be finished is broken off, so that nobody takes a part for the whole.
func TestRetrieve_damaged(t *testing.T) {
	h := open(t)
	headers, _ := h.receive(dicomtest.Options{Study: "a", Instance: 1})
	h.web.Spool = rotten{h.spool}
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { h.ask("GET", path(headers[0]), "Accept", "application/dicom") })
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { h.ask("GET", path(headers[0]), "Accept", dicomParts) })
	require.Contains(t, h.log.String(), "broke off")
}

// What goes while a study is answered with is not left out without a word.
func TestRetrieve_goesMeanwhile(t *testing.T) {
	h := open(t)
	headers, _ := h.receive(dicomtest.Options{Study: "a", Instance: 1}, dicomtest.Options{Study: "a", Instance: 2})
	study := headers[0].StudyInstanceUID
	rows, err := h.ledger.SpooledInstances(t.Context(), ledger.SpooledInstances{Study: study})
	require.NoError(t, err)
	require.Len(t, rows, 2)
	h.web.Spool = losing{h.spool, rows[1].Entry}
	for _, target := range []string{"/studies/" + string(study), "/studies/" + string(study) + "/metadata"} {
		require.PanicsWithValue(t, http.ErrAbortHandler, func() { h.ask("GET", target) }, target)
	}
	require.Equal(t, http.StatusGone, h.ask("GET", path(headers[1])+"/metadata").Code)
	h.web.Spool = losing{h.spool, rows[0].Entry}
	w := h.ask("GET", "/studies/"+string(study)+"/metadata")
	require.Equal(t, http.StatusServiceUnavailable, w.Code, "nothing was sent yet")
	require.Contains(t, w.Body.String(), "ask again")
}

// losing has the bytes of an entry no more.
type losing struct {
	dicomweb.Spool
	lost string
}

func (l losing) Open(entry string) (spool.Entry, io.ReadSeekCloser, error) {
	if entry == l.lost {
		return spool.Entry{}, nil, spool.ErrNotFound
	}
	return l.Spool.Open(entry)
}

type rotten struct{ dicomweb.Spool }

func (r rotten) Open(entry string) (spool.Entry, io.ReadSeekCloser, error) {
	e, data, err := r.Spool.Open(entry)
	return e, &broken{data, 1000}, err
}

type broken struct {
	io.ReadSeekCloser
	left int
}

func (b *broken) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, spool.ErrCorrupt
	}
	n, err := b.ReadSeekCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// Viewers wait for each other, and who finds no place is told when to come again.
func TestServer_crowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := &waiting{free: make(chan struct{})}
		web := &dicomweb.Server{Ledger: stuck, Log: slog.New(slog.DiscardHandler)}
		codes := make(chan *httptest.ResponseRecorder, 20)
		for range 20 {
			go func() {
				w := httptest.NewRecorder()
				web.ServeHTTP(w, httptest.NewRequest("GET", dicomweb.Root+"/studies", nil))
				codes <- w
			}()
		}
		time.Sleep(time.Minute)
		close(stuck.free)
		synctest.Wait()
		counts := map[int]int{}
		for range 20 {
			w := <-codes
			if counts[w.Code]++; w.Code == http.StatusServiceUnavailable {
				require.Equal(t, "5", w.Header().Get("Retry-After"))
			}
		}
		require.Equal(t, map[int]int{http.StatusNoContent: 8, http.StatusServiceUnavailable: 12}, counts)
	})
}

type waiting struct {
	dicomweb.Ledger
	free chan struct{}
}

func (s *waiting) SpooledStudies(context.Context, ledger.SpooledStudies) ([]ledger.SpooledStudy, error) {
	<-s.free
	return nil, nil
}
