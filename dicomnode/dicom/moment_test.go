package dicom

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Dates, times and ages as devices write them: what can be read in one way is written as DICOM has it now, everything else
// stays as it is and is none for CheckText.
func TestTexts_loose(t *testing.T) {
	for _, row := range []struct{ vr, in, want string }{
		{"DA", "20240102", "20240102"},
		{"DA", " 20240102 ", "20240102"},
		{"DA", "2024.01.02", "20240102"},
		{"DA", "2024-01-02", "20240102"},
		{"DA", "2024/01/02", "20240102"},
		{"DA", "2024 01 02", "20240102"},
		{"DA", "2024.1.2", "20240102"},
		{"DA", "2024-1-2", "20240102"},
		{"DA", "2024-01-02T10:15:00", "20240102"},
		{"DA", "2024-01-02T10:15:00.5+01:00", "20240102"},
		{"DA", "2024-01-02 10:15:00", "20240102"},
		{"DA", "20240102101500", "20240102"},
		{"DA", "02-JAN-2024", "20240102"},
		{"DA", "2 Jan 2024", "20240102"},
		{"DA", "20240229", "20240229"},
		{"DA", "01/02/2024", ""}, // January or February
		{"DA", "01.02.2024", ""},
		{"DA", "02-01-24", ""},
		{"DA", "240102", ""},
		{"DA", "00000000", ""},
		{"DA", "19700000", ""},
		{"DA", "20240231", ""},
		{"DA", "20230229", ""},
		{"DA", "99999999", ""},
		{"DA", "2024", ""},
		{"DA", "unknown", ""},
		{"DA", "20240101-20240105", ""},
		{"TM", "101500", "101500"},
		{"TM", "10", "10"},
		{"TM", "10:15:00", "101500"},
		{"TM", "10:15", "1015"},
		{"TM", "9:15:00", "091500"},
		{"TM", "10.15.00", "101500"},
		{"TM", "10:15:00.25", "101500.25"},
		{"TM", "10:15:00,25", "101500.25"},
		{"TM", "101500.1234567", "101500.123456"},
		{"TM", "10:15:00.123456789", "101500.123456"},
		{"TM", "10:15:00 AM", "101500"},
		{"TM", "02:15 PM", "1415"},
		{"TM", "12:00:00 am", "000000"},
		{"TM", "101500+0100", "101500"},
		{"TM", "10:15:00Z", "101500"},
		{"TM", "2024-01-02T10:15:00+01:00", "101500"},
		{"TM", "20240102101500", "101500"},
		{"TM", "235960", "235960"}, // a leap second
		{"TM", "240000", ""},
		{"TM", "106100", ""},
		{"TM", "25:00:00", ""},
		{"TM", "13:00 PM", ""},
		{"TM", "91500", ""},
		{"TM", "10:1", ""},
		{"DT", "20240102101500.000000+0100", "20240102101500.000000+0100"},
		{"DT", "2024", "2024"},
		{"DT", "2024-01-02T10:15:00", "20240102101500"},
		{"DT", "2024-01-02T10:15:00Z", "20240102101500+0000"},
		{"DT", "2024-01-02T10:15:00.1234567+01:00", "20240102101500.123456+0100"},
		{"DT", "2024.01.02 10:15:00", "20240102101500"},
		{"DT", "20240102T101500", "20240102101500"},
		{"DT", "20240102 101500", "20240102101500"},
		{"DT", "2024-01-02 02:15:00 PM", "20240102141500"},
		{"DT", "20240102101500.1234567", "20240102101500.123456"},
		{"DT", "2024-01-02", "20240102"},
		{"DT", "00000000000000", ""},
		{"DT", "20241301", ""},
		{"AS", "045Y", "045Y"},
		{"AS", "45Y", "045Y"},
		{"AS", "5 m", "005M"},
		{"AS", "45", ""},
		{"AS", "1000Y", ""},
	} {
		a := &Attributes{elements: []Element{{Tag: StudyDate, VR: row.vr, Value: []byte(row.in)}}}
		got := a.Text(StudyDate)
		if row.want != "" {
			assert.Equal(t, row.want, got, "%s %q", row.vr, row.in)
			assert.NoError(t, CheckText(row.vr, got), "%s %q", row.vr, row.in)
			continue
		}
		assert.Equal(t, row.in, got, "%s %q", row.vr, row.in)
		assert.Error(t, CheckText(row.vr, got), "%s %q", row.vr, row.in)
	}
	a := &Attributes{elements: []Element{{Tag: StudyDescription, VR: "LO", Value: []byte("2024.01.02")}}}
	assert.Equal(t, "2024.01.02", a.Text(StudyDescription), "text is not touched")
}

// Whatever the bytes, what is made of a date is valid, or left as it is; once made it does not change.
func TestModern_validOrAsItIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vr := rapid.SampledFrom([]string{"DA", "TM", "DT", "AS"}).Draw(t, "vr")
		s := rapid.StringMatching(`[0-9TZ:. /+,APMYJan-]{0,28}`).Draw(t, "value")
		got := modern(s, vrOf(vr))
		if got != s {
			require.NoError(t, CheckText(vr, got), "%q", s)
		}
		require.Equal(t, got, modern(got, vrOf(vr)))
	})
}

func TestHeader_moments(t *testing.T) {
	e := newEncoder(ExplicitVRLittleEndian, false)
	e.text(StudyDate, "DA", "2024-01-02").text(StudyTime, "TM", "101500+0100").text(PatientBirthDate, "DA", "00000000")
	a, err := ReadAttributes(e, e.ts)
	require.NoError(t, err)
	h := a.Header()
	assert.Equal(t, []string{"20240102", "101500", ""}, []string{h.StudyDate, h.StudyTime, h.PatientBirthDate})
	assert.Equal(t, []string{"Study Time has a time zone, which is left out of results", "Patient's Birth Date cannot be read: results go without"}, a.BadMoments())
}
