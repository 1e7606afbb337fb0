package hl7_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/hl7"
)

func TestParse_lines(t *testing.T) {
	const msh, pid, zpi = `MSH|^~\&|RIS|HOSP|||||ADT^A04|c1|P|2.3`, `PID|1||P1`, `ZPI|x^y`
	for _, row := range []struct {
		name, in string
		want     []string
	}{
		{"CR", msh + "\r" + pid + "\r" + zpi + "\r", []string{"MSH", "PID", "ZPI"}},
		{"no end of the last", msh + "\r" + pid, []string{"MSH", "PID"}},
		{"LF", msh + "\n" + pid + "\n" + zpi + "\n", []string{"MSH", "PID", "ZPI"}},
		{"CR LF", msh + "\r\n" + pid + "\r\n", []string{"MSH", "PID"}},
		{"LF CR", msh + "\n\r" + pid + "\n\r", []string{"MSH", "PID"}},
		{"mixed", msh + "\r" + pid + "\n" + zpi + "\r\n", []string{"MSH", "PID", "ZPI"}},
		{"blank lines", msh + "\r\r" + pid + "\n\n" + zpi + "\r\r\n\r", []string{"MSH", "PID", "ZPI"}},
		{"blank lines and a byte order mark first", "\xEF\xBB\xBF\r\n" + msh + "\r", []string{"MSH"}},
		{"LF in a text", msh + "\rNTE|1||one\ntwo\n\nthree\r" + pid + "\r", []string{"MSH", "NTE", "PID"}},
		{"a segment without fields", msh + "\rZZZ\r" + pid, []string{"MSH", "ZZZ", "PID"}},
		{"a name of lower case", msh + "\rzpi|1\r", []string{"MSH", "zpi"}},
		{"header alone", `MSH|^~\&`, []string{"MSH"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := parse(t, row.in)
			var got []string
			for _, s := range m.Segments() {
				got = append(got, s.Name)
			}
			assert.Equal(t, row.want, got)
			assert.Equal(t, row.in, string(m.Bytes()))
			if slices.Contains(got, "PID") {
				assert.Equal(t, "P1", m.Get("PID-3"))
			}
			if slices.Contains(got, "NTE") {
				assert.Equal(t, "one\ntwo\n\nthree", m.Get("NTE-3"))
			}
		})
	}
}

func TestParse_faults(t *testing.T) {
	const msh = `MSH|^~\&|RIS|HOSP|||||ADT^A04|c1|P|2.3` + "\r"
	for _, row := range []struct {
		name, in string
		code     hl7.ErrorCode // 0: no message
		path     string
	}{
		{"nothing", "", 0, ""},
		{"no header", "PID|1\r", 0, ""},
		{"header cut", "MSH|", 0, ""},
		{"no delimiters", "MSH||RIS\r", 0, ""},
		{"delimiters alike", `MSH|^^\&|`, 0, ""},
		{"delimiters are letters", `MSHabcde`, 0, ""},
		{"too many delimiters", `MSH|^~\&#!|`, 0, ""},
		{"UTF-16", "M\x00S\x00H\x00|\x00", 0, ""},
		{"text of another protocol", "GET / HTTP/1.1\r\n\r\n", 0, ""},
		{"a line that is no segment", msh + "two lines of text\r", hl7.SegmentSequence, ""},
		{"a name cut at the end", msh + "A\n", hl7.SegmentSequence, ""},
		{"a name of two letters", msh + "PI|1\r", hl7.SegmentSequence, ""},
		{"text after the header", strings.TrimSuffix(msh, "\r") + "\ntwo lines of text\rPID|1\r", hl7.SegmentSequence, ""},
		{"two messages, one without fields", strings.TrimSuffix(msh, "\r") + "\nMSH\r", hl7.SegmentSequence, "MSH[2]"},
		{"two messages", msh + "PID|1\r" + msh, hl7.SegmentSequence, "MSH[2]"},
		{"batch", `BHS|^~\&|RIS|HOSP|||||||b1` + "\r" + msh, hl7.UnsupportedMessageType, ""},
		{"file", `FHS|^~\&|RIS` + "\r" + `BHS|^~\&|RIS` + "\r" + msh, hl7.UnsupportedMessageType, ""},
		{"too many bytes", msh + strings.Repeat("N", 1000), 0, ""},
		{"too many segments", msh + strings.Repeat("NTE\r", 10), hl7.ApplicationInternal, ""},
		{"too many parts", msh + "NTE" + strings.Repeat("|~^&", 20), hl7.ApplicationInternal, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			in := slices.Clip([]byte(row.in)) // whoever reads beyond the end panics
			m, err := hl7.Parse(in, hl7.Options{MaxBytes: 1000, MaxSegments: 10, MaxParts: 80})
			require.Error(t, err)
			var e *hl7.Error
			if row.code == 0 {
				assert.Nil(t, m)
				return
			}
			require.ErrorAs(t, err, &e)
			assert.Equal(t, row.code, e.Code)
			assert.Equal(t, row.path, e.Path)
			require.NotNil(t, m)
			for _, ack := range hl7.Answers(m, hl7.Fate{Err: err}, time.Unix(0, 0)) {
				reparse(t, ack)
			}
		})
	}
	m, err := hl7.Parse([]byte(`BHS|^~\&|RIS|HOSP|||||||b1`+"\r"+msh), hl7.Options{})
	require.ErrorIs(t, err, hl7.ErrBatch)
	ack := hl7.Answers(m, hl7.Fate{Err: err}, time.Unix(0, 0))[0]
	assert.Equal(t, "AR", ack.Get("MSA-1"))
	assert.Equal(t, "b1", ack.Get("MSA-2"))
	assert.Equal(t, "RIS", ack.Get("MSH-5"))
}

// Input that a parser of the second power of its length would take hours for.
func TestParse_isLinear(t *testing.T) {
	const msh = `MSH|^~\&|RIS|||||||||2.5.1||||||`
	for name, in := range map[string]string{
		"line feeds":         msh + "\rNTE|x" + strings.Repeat("\n", 15<<20) + "x",
		"fields":             msh + "\rNTE" + strings.Repeat("|ø", 900_000),
		"text of an OBX":     msh + "\rOBX|1|ED|||" + strings.Repeat("JVBERi0x", 2<<20) + "||||||F\r",
		"escape characters":  msh + "ASCII~ISO IR87\rNTE|1||" + strings.Repeat(`\`, 4<<20),
		"escape sequences":   msh + "ASCII~ISO IR87\rNTE|1||" + strings.Repeat("\x1B$B!!\x1B(B", 1<<20),
		"several characters": msh + "GB 18030-2000\rNTE|1||" + strings.Repeat("\x81\x30\x89\x38", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			m, err := hl7.Parse([]byte(in), hl7.Options{})
			require.NoError(t, err)
			for _, s := range m.Segments() {
				_, _, _ = s.Get("5"), s.Get("11"), s.All("3[*]")
			}
			assert.Equal(t, len(in), len(m.Bytes()))
			assert.Less(t, time.Since(start), 2*time.Minute)
		})
	}
}

func TestParsePath(t *testing.T) {
	for _, s := range []string{"OBR-18", "OBR-18.1", "PID-3[2].4", "PID-3[*].4.1", "OBX[3]-5", "OBX[*]-5", "ZDS-1.1"} {
		_, err := hl7.ParsePath(s)
		require.NoError(t, err, s)
	}
	for _, s := range []string{"", "OBR", "OBR-", "OBR-0", "OBR-x", "OBR-1.", "OBR-1.0", "OBR-1.2.3.4", "OBR-3[", "OBR-3[0]", "OBR-3[x]", "OBR-3[1]x", "OBR[0]-1", "OB-1", "OBRX-1", "1BR-1", "OBR-10000", "OBR--1", "OBR-+1", "OBR-1.2[1]", "PID-3(2)"} {
		_, err := hl7.ParsePath(s)
		require.Error(t, err, s)
		assert.Panics(t, func() { parse(t, order).Get(s) }, s)
		require.Error(t, parse(t, order).Set(s, "x"), s)
	}
	require.Error(t, parse(t, order).Set("PID-3[*]", "x"))
	require.Error(t, parse(t, order).Set("MSH-1", "x"))
	require.Error(t, parse(t, order).Set("MSH-2", "x"))
	require.Error(t, parse(t, order).Set("OBX[4]-1", "x"), "there are two")
	require.Error(t, parse(t, order).Set("MSH[2]-3", "x"))
}

// anyDelimiters draws delimiters that a message may have.
func anyDelimiters(t *rapid.T) hl7.Delimiters {
	c := rapid.Permutation([]byte(`|^~\&#!*$%`)).Draw(t, "delimiters")
	return hl7.Delimiters{Field: c[0], Component: c[1], Repetition: c[2], Escape: c[3], Subcomponent: c[4]}
}

func anyPath(t *rapid.T) string {
	return rapid.SampledFrom([]string{"PID-3", "PID-3.1", "PID-3.4.2", "PID-3[2]", "PID-3[3].2", "PID-5.2", "OBX-5", "OBX[2]-5[2].1.3", "ZZZ-40"}).Draw(t, "path")
}

// Whatever text is set is what is read, here and by who parses the bytes, and nothing else has changed.
func TestMessage_Set_isWhatIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDelimiters(t)
		m, err := hl7.New(d, "UNICODE UTF-8")
		require.NoError(t, err)
		want := map[string]string{}
		for range rapid.IntRange(1, 8).Draw(t, "sets") {
			path, text := anyPath(t), rapid.OneOf(rapid.String(), rapid.StringMatching(`["|^~\\&#\n\rXSa]*`)).Draw(t, "text")
			if rapid.IntRange(0, 9).Draw(t, "null") == 0 {
				text = `""`
			}
			before := map[string]string{}
			for p := range want {
				before[p] = m.Get(p)
			}
			if err := m.Set(path, text); err != nil {
				require.ErrorContains(t, err, "OBX[2]-5") // before OBX[1]
				continue
			}
			for p := range want {
				if !overlap(p, path) {
					require.Equal(t, before[p], m.Get(p), "%s after %s was set", p, path)
				}
			}
			want[path] = text
			for _, m := range []*hl7.Message{m, mustParse(t, m.Bytes())} {
				got, state := m.Lookup(path)
				require.Equal(t, text, got, "%q", m.Bytes())
				if text != "" {
					require.Equal(t, hl7.Present, state)
				}
			}
		}
	})
}

// overlap reports whether setting one of the paths of anyPath may change what the other means.
func overlap(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return a == b || a[:5] == b[:5] && (!strings.ContainsAny(a[5:], "[.") || a == "PID-3.1") || strings.HasPrefix(a, "OBX") && strings.HasPrefix(b, "OBX")
}

func mustParse(t *rapid.T, b []byte) *hl7.Message {
	m, err := hl7.Parse(b, hl7.Options{})
	require.NoError(t, err, "%q", b)
	return m
}

// anyMessage draws the bytes of a message of odd segments.
func anyMessage(t *rapid.T) []byte {
	end := rapid.SampledFrom([]string{"\r", "\n", "\r\n", "\r\r"})
	out := `MSH|^~\&|A|B|C|D|||ORM^O01|1|P|2.5.1||||||UNICODE UTF-8` + end.Draw(t, "end")
	for range rapid.IntRange(0, 6).Draw(t, "segments") {
		out += rapid.StringMatching(`[A-Z][A-Z0-9]{2}\|[a-zæ^~&\\|" .]{0,12}`).Draw(t, "segment") + end.Draw(t, "end")
	}
	return []byte(strings.ReplaceAll(strings.ReplaceAll(out, "BHS", "ZZZ"), "FHS", "ZZZ"))
}

// What is not set is written as it was read, byte for byte, and in all other segments also after a Set.
func TestMessage_Bytes_keepsWhatIsNotSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyMessage(t)
		if bytes.Count(in, []byte("MSH")) > 1 {
			t.Skip("two messages")
		}
		m := mustParse(t, in)
		require.Equal(t, in, m.Bytes())
		n := rapid.IntRange(0, len(m.Segments())-1).Draw(t, "segment")
		s := m.Segments()[n]
		raw := string(in)
		require.NoError(t, s.Set("7.2", "ß|"))
		require.Equal(t, "ß|", s.Get("7.2"))
		after := string(m.Bytes())
		prefix := 0
		for _, other := range mustParse(t, in).Segments()[:n] {
			prefix += len(other.Name)
			require.Equal(t, raw[:prefix], after[:prefix])
			line := strings.IndexAny(raw[prefix:], "\r\n")
			prefix += line + len(raw[prefix+line:]) - len(strings.TrimLeft(raw[prefix+line:], "\r\n"))
			require.Equal(t, raw[:prefix], after[:prefix])
		}
		if line := strings.IndexAny(raw[prefix:], "\r\n"); line >= 0 {
			require.True(t, strings.HasSuffix(after, raw[prefix+line:]))
		}
	})
}
