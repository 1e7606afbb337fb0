package intake

import (
	"bytes"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/ledger"
)

// store has a data set received as from a modality, whose command is that of h.
func (s *stores) store(data []byte, uid dicom.UID, h dicom.Header) error {
	r := &Receiver{Spool: s.spool, Now: func() time.Time { return s.now }, Stored: func(string, int64) {}, Log: slog.New(slog.NewTextHandler(&s.log, nil))}
	return r.Store(s.t.Context(), &dicomnode.StoreRequest{
		SOPClassUID: h.SOPClassUID, SOPInstanceUID: h.SOPInstanceUID, TransferSyntax: uid, CallingAE: "SCOPE1", Dataset: bytes.NewReader(data),
	})
}

func (s *stores) entries() (n int) {
	for _, err := range s.spool.Entries(0) {
		require.NoError(s.t, err)
		n++
	}
	return n
}

// What a data set's own lengths promise beyond the bytes that came is refused, and nothing of it is kept; what is merely
// not as it should be is kept as it came, and its study says so.
func TestReceiver_loose(t *testing.T) {
	long := strings.Repeat("1.", 40) + "1"
	with := func(ds dicom.Dataset) dicomtest.Options {
		return dicomtest.Options{TransferSyntax: dicom.JPEGBaseline8Bit, More: ds}
	}
	verbatim := func(v string) dicom.As { return dicom.As{Verbatim: true, Value: dicom.Text{v}} }
	cut := func(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:len(b)-n] } }
	for _, row := range []struct {
		name    string
		of      dicomtest.Options
		change  func([]byte) []byte
		command func(*dicom.Header)
		status  dimse.Status
		comment string
		remarks string
	}{
		{name: "good", of: with(nil)},
		{name: "JPEG fragment cut", of: with(nil), change: cut(100), status: dimse.CannotUnderstand, comment: "data set ends before its own lengths do"},
		{name: "native cut", change: cut(1), status: dimse.CannotUnderstand, comment: "data set ends before its own lengths do"},
		{name: "deflate cut", of: dicomtest.Options{TransferSyntax: dicom.DeflatedExplicitVRLittleEndian}, change: cut(20), status: dimse.CannotUnderstand, comment: "data set ends before its own lengths do"},
		{name: "deflate corrupt", of: dicomtest.Options{TransferSyntax: dicom.DeflatedExplicitVRLittleEndian}, change: func(b []byte) []byte {
			return append([]byte{0xFF}, b[1:]...) // a block of the type that there is none of (RFC 1951 3.2.3)
		}, status: dimse.CannotUnderstand, comment: "the deflated stream is corrupt"},
		{name: "no delimiter", of: with(nil), change: cut(8), remarks: dicom.RemarkDelimiter},
		{name: "zeros for the delimiter", of: with(nil), change: func(b []byte) []byte { return append(b[:len(b)-8:len(b)-8], make([]byte, 8)...) }, remarks: dicom.RemarkDelimiter},
		{name: "three frames of five", of: with(dicom.Dataset{dicom.NumberOfFrames: dicom.Ints{5}, dicom.PixelData: dicom.Encapsulate([]byte{1}, []byte{2}, []byte{3})}), remarks: dicom.RemarkFewer},
		{name: "Study Instance UID too long", of: with(dicom.Dataset{dicom.StudyInstanceUID: verbatim(long)}), remarks: "Study Instance UID has 81 characters, 64 are allowed"},
		{name: "Series Instance UID with letters", of: with(dicom.Dataset{dicom.SeriesInstanceUID: verbatim("1.2.840.SERIES")}), remarks: "Series Instance UID is not digits and dots"},
		{name: "SOP Instance UID with letters", of: with(dicom.Dataset{dicom.SOPInstanceUID: verbatim("1.2.840.X")}), command: func(h *dicom.Header) { h.SOPInstanceUID = "1.2.840.X" }, remarks: "SOP Instance UID is not digits and dots"},
		{name: "leading zeros and blanks", of: with(dicom.Dataset{dicom.StudyInstanceUID: verbatim("1.02.003 ")})},
		{name: "no Study Instance UID", of: with(dicom.Dataset{dicom.StudyInstanceUID: dicom.Text{}}), status: dimse.CannotUnderstand, comment: "Study Instance UID is missing"},
		{name: "no end to a UID", of: with(dicom.Dataset{dicom.StudyInstanceUID: verbatim(strings.Repeat("1", 200))}), status: dimse.CannotUnderstand, comment: "Study Instance UID is over 128 characters or no UID"},
		{name: "another instance than the command's", of: with(nil), command: func(h *dicom.Header) { h.SOPInstanceUID = "1.2.3" }, status: dimse.DataSetDoesNotMatchSOPClass},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := openStores(t)
			data, h := dicomtest.Endoscopic(row.of)
			if row.change != nil {
				data = row.change(data)
			}
			if row.command != nil {
				row.command(&h)
			}
			uid := row.of.TransferSyntax
			if uid == "" {
				uid = dicom.ExplicitVRLittleEndian
			}
			err := s.store(data, uid, h)
			require.Equal(t, row.status, dimse.StatusOf(err), "%v", err)
			if row.status != dimse.Success {
				var answer *dimse.Error
				require.ErrorAs(t, err, &answer)
				assert.Contains(t, answer.Comment, row.comment)
				assert.LessOrEqual(t, len(answer.Comment), 64)
				assert.Zero(t, s.entries(), "nothing is kept")
				return
			}
			require.NoError(t, err)
			s.catchUp()
			studies, _, err := s.ledger.Studies(t.Context(), ledger.StudyFilter{})
			require.NoError(t, err)
			require.Len(t, studies, 1)
			detail, err := s.ledger.Study(t.Context(), studies[0].StudyInstanceUID, ledger.Page{})
			require.NoError(t, err)
			require.Len(t, detail.InstanceViews, 1)
			assert.Equal(t, row.remarks, detail.InstanceViews[0].Header.Remarks)
			said := slices.ContainsFunc(detail.Events, func(e ledger.Event) bool { return e.What == ledger.EventRemarked && e.Detail == row.remarks })
			assert.Equal(t, row.remarks != "", said)
			_, bytesOf, err := s.spool.Open(detail.InstanceViews[0].Entry)
			require.NoError(t, err)
			kept, err := io.ReadAll(bytesOf)
			require.NoError(t, err)
			require.NoError(t, bytesOf.Close())
			assert.Equal(t, data, kept, "bytes as they came")
		})
	}
}
