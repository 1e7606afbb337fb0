package results

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/spool"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/jobs"
)

// elsewhere does a job as a worker on another machine does.
func (b *bench) elsewhere() (sent, answer string, err error) {
	b.t.Helper()
	parcel, err := b.shop.Pack(b.t.Context(), b.job.ID)
	require.NoError(b.t, err)
	require.NotNil(b.t, parcel)
	pixels, err := io.ReadAll(parcel.Bytes)
	require.NoError(b.t, err)
	require.NoError(b.t, parcel.Bytes.Close())
	w := &inference.Worker{Models: map[string]inference.Model{"demo": b.model}, Log: b.shop.Log}
	var result bytes.Buffer
	err = w.Fill(b.t.Context(), b.job.ID, "demo", parcel.Order, bytes.NewReader(pixels), &result, pixeldata.Options{})
	return string(parcel.Order) + string(pixels), result.String(), err
}

func TestPack_sameAsHere(t *testing.T) {
	here, there := newBench(t), newBench(t)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for _, b := range []*bench{here, there} {
		b.shop.Now = func() time.Time { return at }
		b.shop.Heatmaps = map[string][]explain.Target{b.job.Route: {{Method: "guided-gradcam", Layer: "last"}}}
	}
	require.NoError(t, here.do(t.Context()))
	sent, answer, err := there.elsewhere()
	require.NoError(t, err)
	assert.Equal(t, 1, there.attempts(), "counted where it began")
	require.NoError(t, there.shop.Unpack(t.Context(), there.job.ID, testModel, strings.NewReader(answer)))
	want, wantObjects := here.done()
	got, objects := there.done()
	require.Equal(t, want, got)
	require.Len(t, objects, len(wantObjects))
	for i, o := range objects {
		assert.Equal(t, here.dataset(wantObjects[i]), there.dataset(o))
	}
	_, header := dicomtest.Endoscopic(dicomtest.Options{Frames: 2})
	for _, secret := range []string{
		header.PatientID, header.PatientName, header.AccessionNumber, string(header.StudyInstanceUID), string(header.SeriesInstanceUID),
		string(header.SOPInstanceUID), there.job.Entry,
	} {
		require.NotEmpty(t, secret)
		assert.NotContains(t, sent+answer, secret)
	}
	parcel, err := there.shop.Pack(t.Context(), there.job.ID)
	require.NoError(t, err)
	assert.Nil(t, parcel, "it is done")
}

func TestPack_givenUpHalfWay(t *testing.T) {
	b := newBench(t)
	parcel, err := b.shop.Pack(t.Context(), b.job.ID)
	require.NoError(t, err)
	_, err = io.ReadFull(parcel.Bytes, make([]byte, 10))
	require.NoError(t, err)
	require.NoError(t, parcel.Bytes.Close(), "whoever reads no further leaves nothing behind")
}

// What cannot be decoded needs no worker.
func TestPack_unsupported(t *testing.T) {
	b := newBench(t)
	b.replace(dicomtest.Options{Frames: 2, More: dicom.Dataset{dicom.BitsAllocated: dicom.Ints{32}}})
	parcel, err := b.shop.Pack(t.Context(), b.job.ID)
	require.NoError(t, err)
	assert.Nil(t, parcel)
	job, err := b.ledger.Job(t.Context(), b.job.ID)
	require.NoError(t, err)
	assert.Equal(t, ledger.JobSkipped, job.State)
}

// What no try makes better is not tried again.
func TestPack_forGood(t *testing.T) {
	for want, more := range map[error]dicom.Dataset{
		pixeldata.ErrCorrupt: {dicom.HighBit: dicom.Ints{40}},
		pixeldata.ErrTooMuch: {dicom.Rows: dicom.Ints{20_000}, dicom.Columns: dicom.Ints{20_000}},
	} {
		b := newBench(t)
		b.replace(dicomtest.Options{Frames: 2, More: more})
		parcel, err := b.shop.Pack(t.Context(), b.job.ID)
		assert.Nil(t, parcel)
		require.ErrorIs(t, err, want)
		assert.Equal(t, jobs.Term, jobs.DispositionOf(err), want)
	}
}

// Frames in which words cannot be told from pixels stay where the instance is: here they are done, or nowhere.
func TestFailed_wordsAmongPixels(t *testing.T) {
	overshooting := "\x81\x00" // 128 pixels where there are 6
	segment := strings.Repeat("\x00", 52) + strings.Repeat(overshooting, 3)
	rle := "\x03\x00\x00\x00\x40\x00\x00\x00\x42\x00\x00\x00\x44\x00\x00\x00" + segment[4:]
	for _, here := range []bool{true, false} {
		b := newBench(t)
		b.replace(dicomtest.Options{TransferSyntax: dicom.RLELossless, Rows: 2, Columns: 3, More: dicom.Dataset{
			dicom.PixelData: dicom.Fragments{nil, []byte(rle)},
		}})
		if here {
			b.shop.Worker = &inference.Worker{Models: map[string]inference.Model{"demo": b.model}, Log: b.shop.Log}
		}
		parcel, err := b.shop.Pack(t.Context(), b.job.ID)
		require.NoError(t, err)
		_, why := io.ReadAll(parcel.Bytes)
		require.ErrorIs(t, why, pixeldata.ErrWords)
		require.NoError(t, parcel.Bytes.Close())
		require.NoError(t, b.shop.Failed(t.Context(), b.job.ID, fmt.Errorf("put: %w", why)))
		job, err := b.ledger.Job(t.Context(), b.job.ID)
		require.NoError(t, err)
		assert.Equal(t, map[bool]ledger.JobState{true: ledger.JobDone, false: ledger.JobSkipped}[here], job.State)
		assert.Equal(t, here, !strings.Contains(b.log.String(), "this gateway has none"), b.log.String())
	}
}

// replace has another instance in place of the bench's.
func (b *bench) replace(o dicomtest.Options) {
	b.t.Helper()
	o.Series = "another"
	content, header := dicomtest.Endoscopic(o)
	w, err := b.shop.Keeper.Spool.Create()
	require.NoError(b.t, err)
	_, err = w.Write(content)
	require.NoError(b.t, err)
	syntax := cmp.Or(o.TransferSyntax, dicom.ExplicitVRLittleEndian)
	entry, err := w.Commit(spool.Entry{Kind: spool.Received, Header: header, TransferSyntaxUID: syntax, At: time.Now()})
	require.NoError(b.t, err)
	_, err = b.ledger.Receive(b.t.Context(), []ledger.Receipt{{
		ID: entry.ID, Seq: entry.Seq, Header: header, TransferSyntaxUID: entry.TransferSyntaxUID, At: entry.At,
		Size: entry.Size, Digest: entry.Digest, Models: []string{"demo"},
	}}, entry.Seq)
	require.NoError(b.t, err)
	open, err := b.ledger.OpenJobs(b.t.Context(), b.job.ID, 10)
	require.NoError(b.t, err)
	require.Len(b.t, open, 1)
	b.job = open[0]
}

func TestUnpack_anotherRelease(t *testing.T) {
	b := newBench(t)
	for n := 1; n <= benchAttempts; n++ {
		_, _, err := b.elsewhere()
		require.NoError(t, err)
		err = b.shop.Unpack(t.Context(), b.job.ID, testModel, strings.NewReader("endoan9\n"))
		require.ErrorContains(t, err, "result")
		assert.Equal(t, n == benchAttempts, jobs.DispositionOf(err) == jobs.Term)
	}
	err := b.shop.Unpack(t.Context(), b.job.ID, testModel, io.MultiReader(strings.NewReader("endoan1\n"), errReader{}))
	assert.Equal(t, jobs.Postpone, jobs.DispositionOf(err), "the store is at fault")
}

// A worker says of itself which model it has: neither report nor ledger name another than the job was for.
func TestUnpack_anotherModel(t *testing.T) {
	for _, other := range []analysis.Model{
		{Name: "demo", Version: "2", Digest: testModel.Digest}, {Name: "demo", Version: testModel.Version, Digest: "other"}, {Name: "other", Version: testModel.Version},
	} {
		b := newBench(t)
		_, answer, err := b.elsewhere()
		require.NoError(t, err)
		err = b.shop.Unpack(t.Context(), b.job.ID, other, strings.NewReader(answer))
		require.ErrorContains(t, err, "another model than the job is for")
		var refused interface{ Refused() bool }
		require.True(t, errors.As(err, &refused) && refused.Refused())
		job, err := b.ledger.Job(t.Context(), b.job.ID)
		require.NoError(t, err)
		assert.Equal(t, ledger.JobOpen, job.State)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("no server") }

func TestOpen(t *testing.T) {
	b := newBench(t)
	open, err := b.shop.Open(t.Context(), b.job.ID)
	require.NoError(t, err)
	assert.True(t, open)
	require.NoError(t, b.do(t.Context()))
	open, err = b.shop.Open(t.Context(), b.job.ID)
	require.NoError(t, err)
	assert.False(t, open)
	open, err = b.shop.Open(t.Context(), "gone.demo")
	require.NoError(t, err)
	assert.False(t, open)
}
