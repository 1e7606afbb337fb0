package dicomweb_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dicomweb"
	"endogate/dicomnode/dimse"
)

// storable has the hospital take instances in.
func storable(t *testing.T) *hospital {
	t.Helper()
	h := open(t)
	classes, err := dicom.SelectStorage([]string{string(dicomtest.VLEndoscopicImageStorage)})
	require.NoError(t, err)
	h.web.Storage = dicomweb.Storage{
		Handler: h.receiver, Contexts: dicomnode.StorageContexts(classes), CalledAE: "ENDOGATE", Admit: func() error { return nil }, Stored: func(dimse.Status) {},
	}
	return h
}

// part10 is an instance as a file.
func part10(t *testing.T, o dicomtest.Options) ([]byte, dicom.Header) {
	t.Helper()
	data, header := dicomtest.Endoscopic(o)
	syntax := o.TransferSyntax
	if syntax == "" {
		syntax = dicom.ExplicitVRLittleEndian
	}
	var b bytes.Buffer
	require.NoError(t, dicom.WriteFileMeta(&b, dicom.FileMeta{SOPClassUID: header.SOPClassUID, SOPInstanceUID: header.SOPInstanceUID, TransferSyntaxUID: syntax}))
	return append(b.Bytes(), data...), header
}

// post sends a body as SCOPE1.
func (h *hospital) post(target, contentType string, body io.Reader) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", dicomweb.Root+target, body)
	r.Header.Set("Content-Type", contentType)
	r = r.WithContext(dicomweb.From(r.Context(), dicomweb.Peer{AETitle: "SCOPE1", User: "scope1", RemoteAddr: "10.1.2.3:4"}))
	w := httptest.NewRecorder()
	h.web.ServeHTTP(w, r)
	return w
}

func body(t *testing.T, files ...[]byte) (string, *bytes.Buffer) {
	t.Helper()
	var b bytes.Buffer
	parts := multipart.NewWriter(&b)
	for _, file := range files {
		p, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/dicom"}})
		require.NoError(t, err)
		_, err = p.Write(file)
		require.NoError(t, err)
	}
	require.NoError(t, parts.Close())
	return `multipart/related; type="application/dicom"; boundary=` + parts.Boundary(), &b
}

// What is stored goes the way of C-STORE: the same bytes, calling AE and status, and it can be retrieved.
func TestStore(t *testing.T) {
	h := storable(t)
	one, first := part10(t, dicomtest.Options{Study: "a", Instance: 1})
	two, second := part10(t, dicomtest.Options{Study: "a", Instance: 2, TransferSyntax: dicom.JPEGBaseline8Bit})
	large, third := part10(t, dicomtest.Options{Study: "b", Rows: 500, Columns: 500})
	foreign, _ := part10(t, dicomtest.Options{Study: "a", Instance: 3, More: dicom.Dataset{dicom.SOPClassUID: dicom.Text{"1.2.840.10008.5.1.4.1.1.2"}}})
	kind, b := body(t, one, two, large)
	w := h.post("/studies", kind, b)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.Equal(t, "application/dicom+json", w.Header().Get("Content-Type"))
	var answer map[string]struct {
		Value []map[string]struct{ Value []any }
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
	require.Len(t, answer["00081199"].Value, 3)
	require.Equal(t, []any{string(second.SOPInstanceUID)}, answer["00081199"].Value[1]["00081155"].Value)
	require.NotContains(t, answer, "00081198")

	require.NoError(t, h.follower.CatchUp(t.Context()))
	files, _ := parts(t, h.ask("GET", "/studies/"+string(first.StudyInstanceUID), "Accept", dicomParts), "application/dicom")
	require.Len(t, files, 2)
	for i, want := range [][]byte{one, two} {
		assert.True(t, bytes.HasSuffix(files[i], want[len(want)-1000:]))
		assert.Contains(t, string(files[i]), "SCOPE1")
	}
	require.Equal(t, http.StatusOK, h.ask("GET", path(third)).Code)

	for _, row := range []struct {
		name   string
		target string
		parts  [][]byte
		code   int
		says   string
	}{
		{"again", "/studies", [][]byte{one}, 200, `"00081199"`},
		{"of the study", "/studies/" + string(first.StudyInstanceUID), [][]byte{one, two}, 200, `"00081190"`},
		{"of another study", "/studies/" + string(first.StudyInstanceUID), [][]byte{one, large}, 202, fmt.Sprint(0xA900)},
		{"a SOP class that is not taken", "/studies", [][]byte{foreign}, 409, fmt.Sprint(0x0122)},
		{"some that cannot be read", "/studies", [][]byte{[]byte("tea"), one, one[:400]}, 202, `"0008119A"`},
		{"cut off", "/studies", [][]byte{two[:len(two)-100]}, 409, fmt.Sprint(0xC000)},
	} {
		kind, b := body(t, row.parts...)
		w := h.post(row.target, kind, b)
		assert.Equal(t, row.code, w.Code, "%s: %s", row.name, w.Body)
		assert.Contains(t, w.Body.String(), row.says, row.name)
	}
}

// Nothing is guessed of how a body is parted, and what cannot be taken now may be sent again.
func TestStore_refused(t *testing.T) {
	h := storable(t)
	one, header := part10(t, dicomtest.Options{})
	kind, good := body(t, one)
	boundary := kind[strings.LastIndex(kind, "=")+1:]
	text := good.String()
	for _, row := range []struct {
		name, kind, body string
		code             int
	}{
		{"one file alone", "application/dicom", string(one), 200},
		{"one file alone, of a transfer syntax", "application/dicom; transfer-syntax=1.2.840.10008.1.2.1", string(one), 200},
		{"one that is none", "application/dicom", "tea", 409},
		{"one that is cut off", "application/dicom", string(one[:len(one)-100]), 409},
		{"no type", "multipart/related; boundary=" + boundary, text, 200},
		{"a type in capitals, a quoted boundary", `Multipart/Related; Type="APPLICATION/DICOM"; Boundary="` + boundary + `"`, text, 200},
		{"a boundary of odd characters", `multipart/related; type="application/dicom"; boundary="(a'+_,./:=? b)"`, strings.ReplaceAll(text, boundary, "(a'+_,./:=? b)"), 200},
		{"a start and its kind", kind + `; start="<1>"; start-info="x"`, text, 200},
		{"parts without a type", kind, strings.Replace(text, "Content-Type: application/dicom\r\n", "", 1), 200},
		{"parts with more in their header", kind, strings.Replace(text, "Content-Type", "Content-Location: a\r\nContent-ID: <1>\r\nContent-Length: 5\r\nContent-Type", 1), 200},
		{"words before and behind", kind, "preamble\r\n" + text + "epilogue", 200},
		{"spaces behind a delimiter", kind, strings.Replace(text, "--"+boundary+"\r\n", "--"+boundary+" \t\r\n", 1), 200},
		{"XML", `multipart/related; type="application/dicom+xml"; boundary=` + boundary, text, 415},
		{"no boundary", `multipart/related; type="application/dicom"`, text, 415},
		{"a form", "multipart/form-data; boundary=" + boundary, text, 415},
		{"of JSON", `multipart/related; type="application/dicom+json"; boundary=` + boundary, text, 415},
		{"two boundaries", kind + "; boundary=other", text, 415},
		{"without quotes", `multipart/related; type=application/dicom; boundary=` + boundary, text, 200},
		{"another boundary", `multipart/related; type="application/dicom"; boundary=other`, text, 400},
		{"no end", kind, text[:len(text)-8], 400},
		{"no closing delimiter", kind, text[:strings.LastIndex(text, "--"+boundary)] + "--" + boundary + "\r\nContent-Type: application/dicom", 400},
		{"no delimiter behind the last part", kind, strings.Replace(text, "--"+boundary+"--", "--"+boundary+"\r\n\r\n\r\n--"+boundary+"\r\n", 1), 400},
		{"no parts", kind, "--" + boundary + "--\r\n", 400},
		{"nothing", kind, "", 400},
		{"packed", kind, strings.Replace(text, "Content-Type", "Content-Transfer-Encoding: base64\r\nContent-Type", 1), 409},
		{"a part of HTML", kind, strings.Replace(text, "application/dicom", "text/html", 1), 409},
		{"a header without end", kind, "--" + boundary + "\r\n" + strings.Repeat("X: y\r\n", 100_000), 400},
	} {
		assert.Equal(t, row.code, h.post("/studies", row.kind, strings.NewReader(row.body)).Code, row.name)
	}
	nobody := httptest.NewRequest("POST", dicomweb.Root+"/studies", strings.NewReader(text))
	nobody.Header.Set("Content-Type", kind)
	w := httptest.NewRecorder()
	h.web.ServeHTTP(w, nobody)
	assert.Equal(t, http.StatusForbidden, w.Code)
	h.receiver.Ready = func() error { return errors.New("the ledger is damaged") }
	w = h.post("/studies", kind, strings.NewReader(text))
	assert.Equal(t, http.StatusServiceUnavailable, w.Code, "A700: later")
	assert.NotEmpty(t, w.Header().Get("Retry-After"))
	assert.Contains(t, w.Body.String(), string(header.SOPInstanceUID))
	h.web.Storage.Admit = func() error { return errors.New("full") }
	assert.Equal(t, http.StatusServiceUnavailable, h.post("/studies", kind, strings.NewReader(text)).Code)
}
