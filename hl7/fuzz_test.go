package hl7_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"endogate/hl7"
)

// Whatever comes is read without a panic; what is read is written back byte for byte, is text without U+FFFD that was not
// sent, can be answered, and takes a value that is then read.
func FuzzParse(f *testing.F) {
	f.Add([]byte(order), "")
	f.Add([]byte("\xEF\xBB\xBF\nMSH#*~\\!#RIS#HOSP##########UNICODE UTF-8\n\nPID#1##P1***HOSP!1.2!ISO~P2##A|^&b\\F\\*c\\T\\d"), "")
	f.Add(named("ASCII~ISO IR87", "\x1B$B;3ED|^\x1B(B^\x1B$BB@O:\x1B(B"), "")
	f.Add(named("", "\x8Aim\xE9^\x8Eofie"), "Windows-1252")
	f.Add(named("GB 18030-2000", "\xCD\xF5^\x81\x30\x89\x38\x81\x7C"), "")
	f.Add([]byte("MSH|^~&|RIS\rPID|1||P1^^^HOSP&1.2||a\\F\\b\r"), "")
	f.Add([]byte("BHS|^~\\&|RIS|HOSP|||||||b1\rMSH|^~\\&|\r"), "")
	f.Add([]byte("MSH|^~\\&|A|||||||||2.3|||AL|AL||8859/1\rNTE|1||\\X0D\\\\.br\\\\H\\x\\N\\\\Z41\\\\C2842\\\\.sp3\\\rERR|MSH^1^9^201&x&HL70357\rMSA|AR|1"), "")
	f.Add([]byte("MSH|^~\\&|RIS|HOSP|ENDOGA\xE8|ENDO|20260102||ADT^A04^ADT_A01|c1|P|2.5.1||||||GB 18030-2000\rPID"), "")
	f.Fuzz(func(t *testing.T, in []byte, charset string) {
		m, err := hl7.Parse(in, hl7.Options{Charset: charset, MaxParts: 10_000, MaxSegments: 1000})
		if m == nil {
			require.Error(t, err)
			return
		}
		for _, ack := range hl7.Answers(m, hl7.Fate{Err: err}, time.Unix(0, 0)) {
			again, readable := hl7.Parse(ack.Bytes(), hl7.Options{Charset: charset})
			require.NotNil(t, again)
			if err == nil {
				require.NoError(t, readable, "%q", ack.Bytes())
			}
			require.NotNil(t, again.Segment("MSA"))
		}
		_, _ = hl7.Judge("1", m)
		if err != nil {
			return
		}
		require.Equal(t, string(in), string(m.Bytes()))
		for _, s := range m.Segments() {
			for _, path := range []string{"1", "3.1", "3[2].4.2", "5.2", "18"} {
				v, state := s.Lookup(path)
				require.True(t, state == hl7.Present || v == "")
				require.True(t, utf8.ValidString(v), "%q", v)
				require.True(t, !strings.ContainsRune(v, utf8.RuneError) || strings.Contains(string(in), "\uFFFD") || strings.Contains(string(in), "X"), "%q", v)
			}
		}
		if m.Set("ZZZ-3.2", "a|b^c") == nil {
			again, err := hl7.Parse(m.Bytes(), hl7.Options{Charset: charset})
			require.NoError(t, err)
			require.Equal(t, "a|b^c", again.Get("ZZZ-3.2"))
			require.Len(t, again.Segments(), len(m.Segments()))
		}
	})
}
