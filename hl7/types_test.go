package hl7_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/hl7"
)

func TestParseTime(t *testing.T) {
	oslo := time.FixedZone("", 3600)
	for _, row := range []struct {
		in        string
		want      time.Time
		precision hl7.Precision
		zoned     bool
	}{
		{"2026", time.Date(2026, 1, 1, 0, 0, 0, 0, oslo), hl7.Year, false},
		{"202602", time.Date(2026, 2, 1, 0, 0, 0, 0, oslo), hl7.Month, false},
		{"20260203", time.Date(2026, 2, 3, 0, 0, 0, 0, oslo), hl7.Day, false},
		{"2026020304", time.Date(2026, 2, 3, 4, 0, 0, 0, oslo), hl7.Hour, false},
		{"202602030405", time.Date(2026, 2, 3, 4, 5, 0, 0, oslo), hl7.Minute, false},
		{"20260203040506", time.Date(2026, 2, 3, 4, 5, 6, 0, oslo), hl7.Second, false},
		{"20260203040506.1234", time.Date(2026, 2, 3, 4, 5, 6, 123400000, oslo), hl7.Second, false},
		{"20260203040506-0800", time.Date(2026, 2, 3, 12, 5, 6, 0, time.UTC), hl7.Second, true},
		{"20260203+0000", time.Date(2026, 2, 3, 0, 0, 0, 0, time.UTC), hl7.Day, true},
		{"20240229", time.Date(2024, 2, 29, 0, 0, 0, 0, oslo), hl7.Day, false},
	} {
		t.Run(row.in, func(t *testing.T) {
			got, err := hl7.ParseTime(row.in, oslo)
			require.NoError(t, err)
			assert.True(t, row.want.Equal(got.Time), got.String())
			assert.Equal(t, row.precision, got.Precision)
			assert.Equal(t, row.zoned, got.Zoned)
		})
	}
	for _, in := range []string{"", "26", "202613", "20260230", "2026020", "20260203040506.", "20260203.5", "20260203040506.x", "2026-02-03", "20260203T0405", "20260203040506+", "20260203040506+1", "+2026", "20260203040506.1234567890"} {
		_, err := hl7.ParseTime(in, oslo)
		require.Error(t, err, in)
		if in != "" {
			assert.NotContains(t, err.Error(), in)
		}
	}
	assert.Equal(t, "20260203040506+0100", hl7.FormatTime(time.Date(2026, 2, 3, 4, 5, 6, 7, oslo)))
}

func TestPN(t *testing.T) {
	for _, row := range []struct{ xpn, want string }{
		{"Doe^Jane^A^Jr^Dr^PhD", "Doe^Jane^A^Dr^Jr"},
		{"Doe^Jane", "Doe^Jane"},
		{"van der Berg&van der&Berg^Ida", "van der Berg^Ida"},
		{"", ""},
		{"Yamada^Tarou^^^^^L^A~山田^太郎^^^^^L^I~やまだ^たろう^^^^^L^P", "Yamada^Tarou=山田^太郎=やまだ^たろう"},
		{"山田^太郎^^^^^L^I", "=山田^太郎"},
		{"Doe^Jane~Roe^Jane^^^^^M", "Doe^Jane"},
		{`Doe\S\x^J=ane\E\`, "Doe x^J ane "},
	} {
		t.Run(row.xpn, func(t *testing.T) {
			m := parse(t, "MSH|^~\\&|A|||||||||2.5.1||||||UNICODE UTF-8\rPID|1||||"+row.xpn+"|\rOBR|1|"+strings.Repeat("|", 14)+"D7^Roe^Max^^III^Prof\r")
			assert.Equal(t, row.want, hl7.PN(m.Segment("PID").Repetitions(5)))
			assert.Equal(t, "Roe^Max^^Prof^III", hl7.PNOfXCN(m.Segment("OBR").Repetitions(16)))
		})
	}
}

// A name that DICOM can write comes back as it was, from XPN and from XCN.
func TestSegment_SetPN_comesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.StringMatching(`[A-Za-zÅßж山|&~ '.-]{0,6}`)
		var groups []string
		for range rapid.IntRange(1, 3).Draw(t, "groups") {
			parts := rapid.SliceOfN(part, 1, 5).Draw(t, "parts")
			groups = append(groups, strings.TrimRight(strings.Join(parts, "^"), "^"))
		}
		pn := strings.TrimRight(strings.Join(groups, "="), "=")
		m, err := hl7.New(hl7.Recommended, "UNICODE UTF-8")
		require.NoError(t, err)
		pid := m.Add("PID")
		require.NoError(t, pid.SetPN(5, pn))
		require.NoError(t, pid.SetXCN(6, "D7", pn))
		again := mustParse(t, m.Bytes()).Segment("PID")
		require.Equal(t, pn, hl7.PN(again.Repetitions(5)))
		require.Equal(t, pn, hl7.PNOfXCN(again.Repetitions(6)))
		require.Equal(t, "D7", again.Get("6"))
	})
	assert.Equal(t, "1.2", hl7.Identifier{UniversalID: "1.2"}.Authority())
	assert.Equal(t, "H", hl7.Identifier{Namespace: "H", UniversalID: "1.2"}.Authority())
}

func TestNDL(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		id       hl7.Identifier
		pn       string
	}{
		{"as HL7 has it", "4711&Meier&Anna&&Jr&Dr&&&HOSP&1.2.3&ISO^20260301080000^20260301090000", hl7.Identifier{ID: "4711", Namespace: "HOSP", UniversalID: "1.2.3"}, "Meier^Anna^^Dr^Jr"},
		{"a name alone", "&Meier", hl7.Identifier{}, "Meier"},
		{"an identifier and a time", "4711^20260301", hl7.Identifier{ID: "4711"}, ""},
		{"an identifier and two times", "4711^20260301^20260302", hl7.Identifier{ID: "4711"}, ""},
		{"as XCN", "4711^Meier^Anna^^^Dr^^^HOSP", hl7.Identifier{ID: "4711", Namespace: "HOSP"}, "Meier^Anna^^Dr"},
		{"as XCN without an identifier", "^Meier^Anna", hl7.Identifier{}, "Meier^Anna"},
		{"free text", "Dr Meier", hl7.Identifier{ID: "Dr Meier"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := hl7.Parse([]byte("MSH|^~\\&|||||||ORU^R01|1|P|2.5.1\rOBR|1"+strings.Repeat("|", 31)+tt.in+"\r"), hl7.Options{})
			require.NoError(t, err)
			r := m.Segment("OBR").Repetitions(32)
			require.Len(t, r, 1)
			id, pn := r[0].NDL()
			require.Equal(t, tt.id, id)
			require.Equal(t, tt.pn, pn)
		})
	}
}
