package fhir

import (
	"encoding/hex"
	"math/big"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
)

// Code systems (terminologies-systems.html).
const (
	dcmSystem = "http://dicom.nema.org/resources/ontology/DCM"
	ucum      = "http://unitsofmeasure.org"
	thoSystem = "http://terminology.hl7.org/CodeSystem/"
	// versionSystem is of tags that name a version of a report.
	versionSystem = "urn:endogate:report-version"
)

var schemes = map[string]string{
	"DCM": dcmSystem, "SCT": "http://snomed.info/sct", "LN": "http://loinc.org", "UCUM": ucum, "UMLS": "http://terminology.hl7.org/CodeSystem/umls",
	"RADLEX": "http://radlex.org", "I10": "http://hl7.org/fhir/sid/icd-10", "ICD10": "http://hl7.org/fhir/sid/icd-10",
}

var (
	imagingCategory = concept{Coding: []coding{{thoSystem + "observation-category", "imaging", "Imaging"}}}
	radiology       = concept{Coding: []coding{{thoSystem + "v2-0074", "RAD", "Radiology"}}, Text: "Imaging, endoscopy"}
)

// v2 is a code of an HL7 v2 table.
func v2(table, code, meaning string) *concept {
	return &concept{Coding: []coding{{thoSystem + "v2-" + table, code, meaning}}}
}

// participant is what somebody did for a version (provenance-definitions.html, agent.type).
func participant(code, meaning string) *concept {
	return &concept{Coding: []coding{{thoSystem + "provenance-participant-type", code, meaning}}}
}

// coded is c as FHIR has it; nil for none. A local scheme gets an OID derived from its name.
func coded(c dicom.Code) *concept {
	if c.Value == "" && c.Meaning == "" {
		return nil
	}
	if c.Value == "" {
		return &concept{Text: c.Meaning}
	}
	system, ok := schemes[c.Scheme]
	if !ok {
		system = "urn:oid:" + string(dicom.DerivedUID("coding-scheme", c.Scheme))
	}
	return &concept{Coding: []coding{{system, c.Value, c.Meaning}}}
}

// uidIdentifier is a DICOM UID as identifier (terminologies-systems.html, urn:dicom:uid).
func uidIdentifier(uid dicom.UID) identifier {
	return identifier{System: "urn:dicom:uid", Value: "urn:oid:" + string(uid)}
}

// uuidOf is the UUID that a UID under 2.25 is made of (PS3.5 B.2).
func uuidOf(uid dicom.UID) string {
	n, _ := new(big.Int).SetString(strings.TrimPrefix(string(uid), "2.25."), 10)
	h := hex.EncodeToString(n.FillBytes(make([]byte, 16)))
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// names writes a DICOM name (PS3.5 6.2): a HumanName for each writing.
func names(pn string) (all []humanName) {
	for group := range strings.SplitSeq(pn, "=") {
		if strings.Trim(group, "^ ") == "" {
			continue
		}
		parts := append(strings.Split(group, "^"), "", "", "", "", "")
		all = append(all, humanName{
			Text: plain(group), Family: parts[0], Given: strings.Fields(parts[1] + " " + parts[2]),
			Prefix: strings.Fields(parts[3]), Suffix: strings.Fields(parts[4]),
		})
	}
	return all
}

// plain is the first writing of a DICOM name as people write it.
func plain(pn string) string {
	group, _, _ := strings.Cut(pn, "=")
	parts := append(strings.Split(group, "^"), "", "", "", "", "")
	return strings.Join(strings.Fields(strings.Join([]string{parts[3], parts[1], parts[2], parts[0], parts[4]}, " ")), " ")
}

// date writes a DICOM date; empty for what is none.
func date(da string) string {
	t, err := time.Parse("20060102", da)
	if err != nil {
		return ""
	}
	return t.Format("2006-01-02")
}
