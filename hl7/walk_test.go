package hl7

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestValues(t *testing.T) {
	m, err := Parse([]byte("MSH|^~\\&|RIS||E\rPID|1||1^^^A&1.2&ISO~2||Lund\\T\\Berg^Åse||\"\"\rZXX\r"), Options{Charset: "UNICODE UTF-8"})
	require.NoError(t, err)
	var got []string
	for _, s := range m.Segments() {
		for v := range s.Values() {
			line := s.Name + "-" + v.Path + " " + v.Text
			if v.Null {
				line += "(null)"
			}
			if !v.Null && !(s.Name == "MSH" && v.Field <= 2) {
				assert.Equal(t, s.Get(v.Path), v.Text)
			}
			got = append(got, line)
		}
	}
	assert.Equal(t, []string{
		"MSH-1 |", "MSH-2 ^~\\&", "MSH-3 RIS", "MSH-5 E",
		"PID-1 1", "PID-3[1].1 1", "PID-3[1].4.1 A", "PID-3[1].4.2 1.2", "PID-3[1].4.3 ISO", "PID-3[2] 2", "PID-5.1 Lund&Berg", "PID-5.2 Åse", "PID-7 (null)",
	}, got)
}

// Every value stands where its path says.
func TestValues_paths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := "MSH|^~\\&|A\rZZZ|" + rapid.StringMatching(`[a-c|^~&]{0,40}`).Draw(t, "fields") + "\r"
		m, err := Parse([]byte(text), Options{})
		require.NoError(t, err)
		s, all := m.Segment("ZZZ"), ""
		for v := range s.Values() {
			require.Equal(t, v.Text, s.Get(v.Path), v.Path)
			all += v.Text
		}
		require.Equal(t, strings.NewReplacer("|", "", "^", "", "~", "", "&", "").Replace(text[len("MSH|^~\\&|A\rZZZ|"):len(text)-1]), all)
	})
}

func TestFieldName(t *testing.T) {
	for path, want := range map[string]string{"OBR-18": "Placer Field 1", "PID-3": "Patient Identifier List", "OBX-11": "Observation Result Status", "MSH-18": "Character Set", "ORC-12": "Ordering Provider", "PV1-19": "Visit Number", "OBR-44": "Procedure Code", "TQ1-9": "Priority", "IPC-9": "Scheduled AE Title"} {
		p, err := ParsePath(path)
		require.NoError(t, err)
		assert.Equal(t, want, FieldName(p.segment, p.field))
	}
	assert.Empty(t, FieldName("PID", 0))
	assert.Empty(t, FieldName("PID", 40))
	assert.Empty(t, FieldName("ZXX", 1))
}
