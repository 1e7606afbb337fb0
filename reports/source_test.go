package reports

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// TestSource_characterSets: names survive the way from the modality's character set to ours.
func TestSource_characterSets(t *testing.T) {
	for _, row := range []struct {
		name, in, want string
		charset        []string
	}{
		{"Latin-1", "M\xfcller^J\xf6rgen", "Müller^Jörgen", []string{"ISO_IR 100"}},
		{"UTF-8", "Łukasz^Żółć", "Łukasz^Żółć", []string{"ISO_IR 192"}},
		{"none", "Yamada^Tarou", "Yamada^Tarou", nil},
		{
			"ISO 2022 JP", // PS3.5 H.3.1
			"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
			"Yamada^Tarou=山田^太郎=やまだ^たろう",
			[]string{"", "ISO 2022 IR 87"},
		},
		{
			"half-width katakana", // PS3.5 H.3.2
			"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
			"ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
			[]string{"ISO 2022 IR 13", "ISO 2022 IR 87"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			source := endoscopic("1")
			source.set(tag.SpecificCharacterSet, row.charset...)
			source.set(tag.PatientName, row.in)
			o, err := testBuilder().Heatmap(testHeatmap(t, source, kvasir(), "polyps", "polyp-0017b7c7.jpg"))
			require.NoError(t, err)
			assert.Equal(t, row.want, textOf(attributesOf(t, o), tag.PatientName))
			assert.Equal(t, row.want, o.Header.PatientName)
			conforms(t, o)
		})
	}
}

func TestSource_patientAndStudy(t *testing.T) {
	source := endoscopic("1")
	source.set(tag.PatientAge, "067Y")
	source.set(tag.IssuerOfPatientID, "Hospital")
	source.items(tag.IssuerOfPatientIDQualifiersSequence, dataset{
		tag.UniversalEntityID: []string{"1.2.3"}, tag.UniversalEntityIDType: []string{"ISO"},
	})
	source.items(tag.OtherPatientIDsSequence, dataset{
		tag.PatientID: []string{"N\xf8rd-7"}, tag.IssuerOfPatientID: []string{"N\xf8rd"}, tag.TypeOfPatientID: []string{"TEXT"},
	})
	source.items(tag.IssuerOfAccessionNumberSequence, dataset{tag.LocalNamespaceEntityID: []string{"RIS"}})
	o, err := testBuilder().Heatmap(testHeatmap(t, source, kvasir(), "polyps", "polyp-0017b7c7.jpg"))
	require.NoError(t, err)
	conforms(t, o)
	a := attributesOf(t, o)
	assert.Equal(t, "067Y", textOf(a, tag.PatientAge))
	assert.Equal(t, "Hospital", textOf(a, tag.IssuerOfPatientID))
	assert.Equal(t, "1.2.3", textOf(a.Item(tagOf(tag.IssuerOfPatientIDQualifiersSequence), 0), tag.UniversalEntityID))
	assert.Equal(t, "Nørd-7", textOf(a.Item(tagOf(tag.OtherPatientIDsSequence), 0), tag.PatientID))
	assert.Equal(t, "RIS", textOf(a.Item(tagOf(tag.IssuerOfAccessionNumberSequence), 0), tag.LocalNamespaceEntityID))
}

// TestSource_odd: what a modality does wrong costs a value, never the result.
func TestSource_odd(t *testing.T) {
	source := endoscopic("1")
	source.set(tag.StudyDate, "2 Jan 26")
	source.set(tag.StudyTime, "10h15")
	source.set(tag.PatientBirthDate, "1958.04.12") // ACR-NEMA's, which PS3.5 has readers understand
	source.set(tag.PatientSex, "U")
	source.set(tag.PatientAge, "53")
	source.set(tag.InstanceNumber, "1.0")
	source.set(tag.TimezoneOffsetFromUTC, "CET")
	source.set(tag.Modality, "endo")
	source.set(tag.AccessionNumber, "A-0123456789-0123456789")
	source.set(tag.StudyDescription, "a\x07b")
	source.set(tag.ManufacturerModelName, "a name of more than sixty-four characters, which is more than LO can take, but they do")
	o, err := testBuilder().Heatmap(testHeatmap(t, source, kvasir(), "polyps", "polyp-0017b7c7.jpg"))
	require.NoError(t, err)
	a := attributesOf(t, o)
	for tag, want := range map[tag.Tag]string{
		tag.StudyDate: "", tag.StudyTime: "", tag.PatientBirthDate: "19580412", tag.PatientSex: "", tag.PatientAge: "", tag.InstanceNumber: "1",
		tag.TimezoneOffsetFromUTC: "+0000", tag.Modality: "ES", tag.StudyDescription: "ab",
		tag.AccessionNumber: "A-0123456789-0123456789", // the study's number: cut, it would be another one
	} {
		assert.Equal(t, want, textOf(a, tag), keyword(tag))
	}
}

// TestSource_backslashes: a result is of the patient that its source is of, with all that stands there.
func TestSource_backslashes(t *testing.T) {
	source := endoscopic("1")
	source.set(tag.PatientID, "7", "1")
	source.set(tag.AccessionNumber, "A", "1")
	source.set(tag.SoftwareVersions, "v1", "v2")
	o, err := testBuilder().Heatmap(testHeatmap(t, source, kvasir(), "polyps", "polyp-0017b7c7.jpg"))
	require.NoError(t, err)
	a := attributesOf(t, o)
	assert.Equal(t, []string{"7", "1"}, a.Texts(tagOf(tag.PatientID)))
	assert.Equal(t, []string{"A", "1"}, a.Texts(tagOf(tag.AccessionNumber)))
	assert.Equal(t, [2]string{`7\1`, `A\1`}, [2]string{o.Header.PatientID, o.Header.AccessionNumber}, "what the spool files it by")
}

// TestSource_anatomy: the part of the body is what the source says, or the site of the class, never a guess.
func TestSource_anatomy(t *testing.T) {
	region := func(c dicom.Code) func(dataset) {
		return func(ds dataset) { delete(ds, tag.BodyPartExamined); ds.items(tag.AnatomicRegionSequence, coded(c)) }
	}
	part := func(part string) func(dataset) {
		return func(ds dataset) { ds.set(tag.BodyPartExamined, part) }
	}
	const none, empty = "(none)", ""
	for _, row := range []struct {
		name   string
		change func(dataset)
		class  string

		part, region, laterality string
	}{
		{"as the source has it", part("COLON"), "polyps", "COLON", "71854001", none},
		{"in small letters", part("stomach"), "polyps", "STOMACH", none, none},
		{"bronchoscopy", part("BRONCHUS"), "polyps", "BRONCHUS", none, empty},
		{"unknown to the standard", part("AIRWAY"), "polyps", "AIRWAY", none, empty},
		{"cystoscopy", part("BLADDER"), "polyps", "BLADDER", none, none},
		{"paired", func(ds dataset) { part("KIDNEY")(ds); ds.set(tag.Laterality, "L") }, "polyps", "KIDNEY", none, "L"},
		{"not paired, but said so", func(ds dataset) { part("COLON")(ds); ds.set(tag.Laterality, "L") }, "polyps", "COLON", "71854001", none},
		{"no value of CS", part("the colon!"), "esophagitis", "ESOPHAGUS", "32849002", none},
		{"nothing", func(ds dataset) { delete(ds, tag.BodyPartExamined) }, "normal-cecum", "COLON", "32713005", none},
		{"a region that is known", region(sct("69695003", "Stomach")), "polyps", "STOMACH", "69695003", none},
		{"a region that is not", region(sct("955009", "Bronchus")), "polyps", none, "955009", empty},
		{"a region that is no code", region(dicom.Code{Value: "955009"}), "polyps", "COLON", "71854001", none},
		{"nothing, and a class without site", func(ds dataset) { delete(ds, tag.BodyPartExamined) }, "siteless", none, none, empty},
	} {
		t.Run(row.name, func(t *testing.T) {
			source, a := endoscopic("1"), kvasir()
			a.Classes = append(a.Classes, analysis.Class{Name: "siteless", Role: analysis.RoleFinding})
			row.change(source)
			o, err := testBuilder().Heatmap(testHeatmap(t, source, a, row.class, "polyp-0017b7c7.jpg"))
			require.NoError(t, err)
			got := attributesOf(t, o)
			value := func(a *dicom.Attributes, t tag.Tag) string {
				if a == nil {
					return none
				}
				if _, ok := a.Get(tagOf(t)); !ok {
					return none
				}
				return textOf(a, t)
			}
			assert.Equal(t, row.part, value(got, tag.BodyPartExamined))
			assert.Equal(t, row.region, value(got.Item(tagOf(tag.AnatomicRegionSequence), 0), tag.CodeValue))
			assert.Equal(t, row.laterality, value(got, tag.Laterality))
			conforms(t, o)
		})
	}
}

func TestEquipment_institution(t *testing.T) {
	b := testBuilder()
	for _, name := range []string{"", "Klinikum Süd"} {
		b.Equipment.InstitutionName = name
		heatmap, err := b.Heatmap(testHeatmap(t, endoscopic("1"), kvasir(), "polyps", "polyp-0017b7c7.jpg"))
		require.NoError(t, err)
		report, _, err := b.Report(testExam(t, kvasir()))
		require.NoError(t, err)
		for _, o := range []Object{heatmap, report} {
			_, there := attributesOf(t, o).Get(tagOf(tag.InstitutionName))
			assert.Equal(t, name != "", there)
			assert.Equal(t, name, textOf(attributesOf(t, o), tag.InstitutionName))
			conforms(t, o)
		}
		author := attributesOf(t, report).Item(tagOf(tag.AuthorObserverSequence), 0)
		_, there := author.Get(tagOf(tag.InstitutionName))
		assert.True(t, there, "type 2")
		assert.Equal(t, name, textOf(author, tag.InstitutionName))
	}
}

// What the instance that is copied from does not say of patient and study, the others say, in the documents of an examination; a
// heatmap has its own source's.
func TestSource_completed(t *testing.T) {
	type h = dicom.Header
	full := h{PatientID: "7", IssuerOfPatientID: "H", PatientName: "Doe^Jane", PatientBirthDate: "19610203", PatientSex: "F", AccessionNumber: "A1", StudyDate: "20260102", StudyTime: "101500", StudyDescription: "Colonoscopy"}
	for _, row := range []struct {
		name   string
		own    dicom.Header
		others []dicom.Header
		want   dicom.Header
	}{
		{"nothing", h{}, []h{full}, full},
		{"a name of delimiters", h{PatientName: "^^^^"}, []h{{}, full}, full},
		{"everything", full, []h{{PatientID: "8", PatientName: "X^Y"}}, full},
		{"another patient says nothing", h{PatientID: "8"}, []h{full}, h{PatientID: "8"}},
		{"another name says nothing", h{PatientName: "Alpha^Ann"}, []h{full}, h{PatientName: "Alpha^Ann"}},
		{"another birth date says nothing", h{PatientBirthDate: "19400101"}, []h{full}, h{PatientBirthDate: "19400101"}},
		{"part by part", h{PatientID: "7"}, []h{{PatientName: "Doe^Jane"}, {PatientID: "7", AccessionNumber: "A1"}}, h{PatientID: "7", PatientName: "Doe^Jane", AccessionNumber: "A1"}},
		{"an issuer of no ID", h{PatientID: "7"}, []h{{IssuerOfPatientID: "H"}}, h{PatientID: "7"}},
		{"two accession numbers", h{PatientID: "7"}, []h{{AccessionNumber: "A1"}, {AccessionNumber: "A2"}}, h{PatientID: "7"}},
		{"an accession number of its own", h{AccessionNumber: "A3"}, []h{{AccessionNumber: "A1"}}, h{AccessionNumber: "A3"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := row.own.Completed(row.others)
			assert.Equal(t, row.want, got)
			source := endoscopic("1")
			for _, of := range []tag.Tag{tag.PatientBirthDate, tag.PatientSex, tag.StudyDate, tag.StudyTime, tag.StudyDescription} {
				source.set(of)
			}
			source.set(tag.PatientID, row.own.PatientID)
			source.set(tag.PatientName, row.own.PatientName)
			source.set(tag.PatientBirthDate, row.own.PatientBirthDate)
			source.set(tag.AccessionNumber, row.own.AccessionNumber)
			if row.own == full {
				return
			}
			e := testExam(t, kvasir())
			e.Source = sourceOf(t, source)
			e.Source.Study = got
			for _, o := range objects(t, e) {
				is := attributesOf(t, o).Header()
				for i, pair := range [][2]string{
					{row.want.PatientID, is.PatientID},
					{row.want.PatientName, is.PatientName},
					{row.want.PatientBirthDate, is.PatientBirthDate},
					{row.want.PatientSex, is.PatientSex},
					{row.want.AccessionNumber, is.AccessionNumber},
					{row.want.IssuerOfPatientID, is.IssuerOfPatientID},
					{row.want.StudyDate, is.StudyDate},
					{row.want.StudyDescription, is.StudyDescription},
				} {
					assert.Equal(t, pair[0], pair[1], "%d", i)
				}
			}
		})
	}
}
