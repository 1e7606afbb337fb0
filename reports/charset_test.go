package reports

import (
	"image"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/suyashkumar/dicom/pkg/tag"
	"pgregory.net/rapid"

	"endogate/dicomnode/dicom"
	"endogate/reports/draft"
)

// made is every kind of object of a study with that source, whose makers have other letters than a source may have.
func made(t rapid.TB, source dataset) []Object {
	t.Helper()
	b := testBuilder()
	b.Equipment.InstitutionName = "Zürich 大学"
	a := kvasir()
	a.Name, a.Classes[0].Name = "kvässir", "pölyp"
	small := image.NewRGBA(image.Rect(0, 0, 200, 100))
	heatmap, err := b.Heatmap(Heatmap{
		Source: sourceOf(t, source), Frame: 1, Pixels: small, Overlay: small, Opacity: 0.4, Algorithm: a, Class: "pölyp", Probability: 0.93, At: inferred,
	})
	require.NoError(t, err)
	e := testExam(t, a)
	e.Source = sourceOf(t, source)
	threeD, plain, err := b.Report(e)
	require.NoError(t, err)
	keys, _, err := b.KeyObjects(e)
	require.NoError(t, err)
	pdf, err := b.EncapsulatedPDF(e.Source, draft.Document{
		Study: testStudy, Number: 1, Version: 1, At: inferred, Title: dicom.Code{Meaning: "Größe study"},
		Disclosure: draft.Disclosure{Models: []draft.ModelUse{{Model: a.Model}}},
	}, []byte("%PDF-1.4"))
	require.NoError(t, err)
	return []Object{heatmap, threeD, plain, keys, pdf}
}

const umlaut = "M\xc3\xbcller^J\xc3\xb6rgen"

// A name says in what is made of it what it says in its source: in UTF-8 where its bytes are of the set that is stated, by the
// same bytes and the same set where they are not.
func TestSource_everyCharacterSet(t *testing.T) {
	const keep = "" // the source's bytes
	japanese := "Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"
	for _, row := range []struct {
		name, charset, in, want, reading string
		doubtful                         bool
	}{
		{"default", "", "Smith^John", "Smith^John", "Smith^John", false},
		{"default, stated", "ISO_IR 6", "Smith^John", "Smith^John", "Smith^John", false},
		{"Latin-1", "ISO_IR 100", "M\xfcller^J\xf6rgen", "Müller^Jörgen", "Müller^Jörgen", false},
		{"Latin-2", "ISO_IR 101", "Wa\xb3\xeasa", "Wałęsa", "Wałęsa", false},
		{"Latin-3", "ISO_IR 109", "\xa1ebba", "Ħebba", "Ħebba", false},
		{"Latin-4", "ISO_IR 110", "Lat\xa2ija", "Latĸija", "Latĸija", false},
		{"Cyrillic", "ISO_IR 144", "\xbb\xee\xdace", "Люкce", "Люкce", false},
		{"Arabic", "ISO_IR 127", "\xe2\xc8\xc7\xe6\xea", "قباني", "قباني", false},
		{"Greek", "ISO_IR 126", "\xc4\xe9\xef\xed", "Διον", "Διον", false},
		{"Hebrew", "ISO_IR 138", "\xf9\xf8\xe5\xef", "שרון", "שרון", false},
		{"Latin-5", "ISO_IR 148", "\xc7avu\xfeo\xf0lu", "Çavuşoğlu", "Çavuşoğlu", false},
		{"Latin-9", "ISO_IR 203", "\xa4uro", "€uro", "€uro", false},
		{"Thai", "ISO_IR 166", "\xca\xc1\xaa\xd2\xc2", "สมชาย", "สมชาย", false},
		{"Katakana", "ISO_IR 13", "\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ", "ﾔﾏﾀﾞ^ﾀﾛｳ", false},
		{"UTF-8", "ISO_IR 192", "Łukasz^Żółć=王^小东=", "Łukasz^Żółć=王^小东=", "Łukasz^Żółć=王^小东=", false},
		{"GB18030", "GB18030", "Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东=", "Wang^XiaoDong=王^小东=", false},
		{"GB18030, four bytes", "GB18030", "\x81\x39\xef\x30", "㐁", "㐁", false},
		{"GBK", "GBK", "\x81\x5c^\x81\x5e", "乗^乛", "乗^乛", false},
		{"JIS X 0208", `\ISO 2022 IR 87`, japanese, "Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada^Tarou=山田^太郎=やまだ^たろう", false},
		{"JIS X 0208, first value stated", `ISO 2022 IR 6\ISO 2022 IR 87`, japanese, "Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada^Tarou=山田^太郎=やまだ^たろう", false},
		{"JIS X 0212", `\ISO 2022 IR 87\ISO 2022 IR 159`, "\x1b$(D\"/\x1b(B^A", "˘^A", "˘^A", false},
		{"KS X 1001", `\ISO 2022 IR 149`, "Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", "Hong^Gildong=洪^吉洞", "Hong^Gildong=洪^吉洞", false},
		{"GB2312", `\ISO 2022 IR 58`, "Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab", "Zhang^XiaoDong=张^小东", "Zhang^XiaoDong=张^小东", false},
		{"Latin-1 and Greek", `ISO 2022 IR 100\ISO 2022 IR 126`, "M\xfcller^\x1b-F\xc4\xe9\xef", "Müller^Διο", "Müller^Διο", false},
		{"Phonetic group that could not be written", `ISO 2022 IR 6\ISO 2022 IR 87\ISO 2022 IR 13`, "A^B=\x1b$B;3ED\x1b(B=????^?????", "A^B=山田=????^?????", "A^B=山田=????^?????", false},

		{"term with a hyphen", "ISO-IR 100", "M\xfcller", "Müller", "Müller", false},
		{"term with underscores", "ISO_IR_100", "M\xfcller", "Müller", "Müller", false},
		{"term in lower case", "iso_ir 100", "M\xfcller", "Müller", "Müller", false},
		{"term of extensions alone", "ISO 2022 IR 100", "M\xfcller", "Müller", "Müller", false},
		{"UTF8", "UTF8", umlaut, "Müller^Jörgen", "Müller^Jörgen", false},
		{"UTF-8 by its name", "UTF-8", umlaut, "Müller^Jörgen", "Müller^Jörgen", false},
		{"empty", "", umlaut, "Müller^Jörgen", "Müller^Jörgen", false},
		{"nobody's term, UTF-8", "ISO_IR 999", umlaut, "Müller^Jörgen", "Müller^Jörgen", false},
		{"Latin-1 stated, UTF-8 meant: as any reader shows it", "ISO_IR 100", umlaut, "MÃ¼ller^JÃ¶rgen", "MÃ¼ller^JÃ¶rgen", false},
		{"over-long", "ISO_IR 100", strings.Repeat("\xfc", 70) + "^A^B^C^D^E^F=x=y=z", strings.Repeat("ü", 70) + "^A^B^C^D^E^F=x=y=z", strings.Repeat("ü", 70) + "^A^B^C^D^E^F=x=y=z", false},

		{"nothing stated, Latin-1", "", "M\xfcller^J\xf6rgen", keep, "Müller^Jörgen", true},
		{"nothing stated, Windows 1252", "", "\x8cil^No\x80l", keep, "Œil^No€l", true},
		{"ASCII stated, Latin-1", "ISO_IR 6", "M\xfcller", keep, "Müller", true},
		{"nobody's term, Latin-1", "ISO_IR 999", "M\xfcller", keep, "Müller", true},
		{"UTF-8 stated, Latin-1 meant", "ISO_IR 192", "M\xfcller", keep, "Müller", true},
		{"Latin-1 stated, Windows 1252 meant", "ISO_IR 100", "\x8cil^No\x80l", keep, "Œil^No€l", true},
		{"Latin-1 stated, UTF-8 meant, which Latin-1 has not", "ISO_IR 100", "Stra\xc3\x9fer", keep, "Straßer", true},
		{"Hebrew stated, not Hebrew", "ISO_IR 138", "\xbf\xf9", keep, "�ש", true},
		{"GB18030 cut", "GB18030", "Wang=\xcd\xf5^\xd0", keep, "Wang=王^�", true},
		{"escape unfinished", `\ISO 2022 IR 87`, "Yamada=\x1b$", keep, "Yamada=�$", true},
		{"escape of nobody", `\ISO 2022 IR 87`, "a\x1b%Gb", keep, "a�%Gb", true},
		{"half a character", `\ISO 2022 IR 87`, "Yamada=\x1b$B;3E\x1b(B", keep, "Yamada=山�", true},
		{"KS X 1001 broken", `\ISO 2022 IR 149`, "Hong=\x1b$)C\xfb", keep, "Hong=�", true},
		{"a real replacement character", "ISO_IR 192", "M\xef\xbf\xbdller", keep, "M�ller", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			source := endoscopic("1")
			source.set(tag.SpecificCharacterSet, strings.Split(row.charset, `\`)...)
			if row.charset == "" {
				delete(source, tag.SpecificCharacterSet)
			}
			source.set(tag.PatientName, row.in)
			request := dataset{}
			request.set(tag.RequestedProcedureDescription, row.in)
			request.set(tag.RequestedProcedureID, "R1")
			source.items(tag.RequestAttributesSequence, request)
			source.set(tag.StudyDescription, row.in)
			for _, o := range made(t, source) {
				a := attributesOf(t, o)
				name, _ := a.Get(dicom.PatientName)
				charset, _ := a.Get(dicom.SpecificCharacterSet)
				want, set := row.want, utf8Set
				if row.want == keep {
					want, set = row.in, row.charset
				}
				assert.Equal(t, want, strings.TrimRight(string(name.Value), " "))
				assert.Equal(t, set, strings.TrimRight(string(charset.Value), " "))
				reading, doubtful := dicom.Reading(a.Header().PatientName)
				assert.Equal(t, row.reading, reading)
				assert.Equal(t, row.doubtful, doubtful)
				assert.Equal(t, a.Header().PatientName, o.Header.PatientName)
				if item := a.Item(tagOf(tag.ReferencedRequestSequence), 0); item != nil {
					e, _ := item.Get(tagOf(tag.RequestedProcedureDescription))
					assert.Equal(t, want, strings.TrimRight(string(e.Value), " "))
				}
				said := texts(a)
				if row.want == keep {
					assert.NotContains(t, textOf(a, tag.SeriesDescription), "?")
					for _, own := range []tag.Tag{tag.SeriesDescription, tag.InstitutionName, tag.DerivationDescription, tag.DocumentTitle} {
						e, _ := a.Get(tagOf(own))
						assert.Equal(t, dicom.ASCII(string(e.Value)), string(e.Value))
					}
				}
				if o.Header.SOPClassUID == dicom.Comprehensive3DSRStorage {
					if row.want != keep && row.name != "over-long" { // what a source breaks stays broken
						conforms(t, o)
					}
					assert.Contains(t, said, "AI flagged pölyp in ", "items say it in UTF-8")
				}
			}
		})
	}
}

// Whatever bytes a source has, and whatever set it states: no object fails, none has lost a byte, and none that is in UTF-8
// says anything else than its source.
func TestSource_anyCharacterSet(t *testing.T) {
	terms := []string{"", "ISO_IR 100", "ISO_IR 192", "ISO_IR 13", "ISO_IR 166", "GB18030", "GBK", "ISO 2022 IR 87", "ISO 2022 IR 149", "ISO 2022 IR 58", "ISO 2022 IR 159", "ISO 2022 IR 100", "ISO_IR 144", "x"}
	part := rapid.OneOf(
		rapid.Map(rapid.SliceOfN(rapid.ByteRange(0xA0, 0xFF), 0, 6), func(b []byte) string { return string(b) }),
		rapid.Map(rapid.SliceOfN(rapid.ByteRange(0x20, 0xFF), 0, 6), func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{"\x1b$B;3ED\x1b(B", "\x1b$)C\xfb\xf3", "\x1b", "^", "=", "Müller", "\x1b(J", "\x81\x5c"}))
	rapid.Check(t, func(t *rapid.T) {
		source := endoscopic("1")
		source.set(tag.SpecificCharacterSet, rapid.SliceOfN(rapid.SampledFrom(terms), 1, 3).Draw(t, "charset")...)
		for _, of := range []tag.Tag{tag.PatientName, tag.PatientID, tag.StudyDescription, tag.ReferringPhysicianName} {
			source.set(of, strings.ReplaceAll(strings.Join(rapid.SliceOfN(part, 0, 4).Draw(t, keyword(of)), ""), `\`, "/"))
		}
		from := sourceOf(t, source)
		for _, o := range made(t, source) {
			a := attributesOf(t, o)
			for _, of := range []tag.Tag{tag.PatientName, tag.PatientID, tag.StudyDescription, tag.ReferringPhysicianName} {
				was, _ := from.Attributes.Get(tagOf(of))
				is, _ := a.Get(tagOf(of))
				if from.keeps() {
					assert.Equal(t, strings.Trim(string(was.Value), " "), strings.Trim(string(is.Value), " "))
				} else {
					assert.Equal(t, from.text(of), textOf(a, of))
					assert.True(t, utf8.Valid(is.Value))
				}
			}
		}
	})
}
