package admin

import (
	"errors"
	"net/url"
	"strconv"
	"testing"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What is accepted keeps every bound, and says the same when it is written out and read again.
func FuzzStudyFilter(f *testing.F) {
	for _, seed := range []string{"", "patient_id=1&limit=3", "status=done&offset=9", "study_uid=1.2.3&accession=A%20B", "limit=-1", "%zz", "a=b", "patient_id=%ff", "limit=1&limit=2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		filter, err := parseStudyFilter(raw)
		if err != nil {
			var fault *fault
			require.True(t, errors.As(err, &fault) && fault.Code == 400 && fault.Next != "", err)
			return
		}
		require.True(t, filter.Limit >= 1 && filter.Limit <= maxLimit && filter.Offset >= 0 && filter.Offset <= maxOffset)
		require.True(t, filter.StudyInstanceUID == "" || filter.StudyInstanceUID.Fileable())
		again, err := parseStudyFilter(written(filter))
		require.NoError(t, err)
		require.Equal(t, filter, again)
	})
}

func written(f StudyFilter) string {
	after := ""
	if f.After != (ledger.Cursor{}) {
		after = next([]ledger.Cursor{f.After}, 1, func(c ledger.Cursor) ledger.Cursor { return c })
	}
	return url.Values{
		"patient_id": {f.PatientID}, "accession": {f.AccessionNumber}, "study_uid": {string(f.StudyInstanceUID)}, "status": {string(f.Status)},
		"limit": {strconv.Itoa(f.Limit)}, "offset": {strconv.Itoa(f.Offset)}, "after": {after},
	}.Encode()
}

func TestStudyFilter_everyAllowedValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := StudyFilter{
			PatientID:        rapid.StringMatching(`[A-Za-z0-9 ^=\\*&?%äöé山]{0,64}`).Draw(t, "patient"),
			AccessionNumber:  rapid.StringMatching(`[A-Z0-9-]{0,16}`).Draw(t, "accession"),
			StudyInstanceUID: dicom.UID(rapid.StringMatching(`(1\.2\.[1-9][0-9]{0,9})?`).Draw(t, "uid")),
			Status:           rapid.SampledFrom(append([]ledger.StudyStatus{""}, studyStatuses...)).Draw(t, "status"),
			Limit:            rapid.IntRange(1, maxLimit).Draw(t, "limit"),
			Offset:           rapid.IntRange(0, maxOffset).Draw(t, "offset"),
		}
		got, err := parseStudyFilter(written(want))
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func FuzzFrameFile(f *testing.F) {
	for _, seed := range []string{"1.png", "12.jpg", "0.png", "1.jpeg", ".png", "+1.png", "99999999999999999999.png", "1.2.png"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, file string) {
		if n, format, ok := splitFrameFile(file); ok {
			require.GreaterOrEqual(t, n, 1)
			require.Contains(t, []string{strconv.Itoa(n) + ".png", strconv.Itoa(n) + ".jpg", strconv.Itoa(n) + ".jpeg"}, file)
			require.Contains(t, []string{"png", "jpeg"}, format)
		}
	})
}
