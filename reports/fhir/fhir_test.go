package fhir

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/reports/draft"
)

func sample(t testing.TB) (doc draft.Document) {
	text, err := os.ReadFile("../../testdata/drafts/colonoscopy.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &doc))
	require.NoError(t, doc.Validate())
	return doc
}

// as is doc in another standing.
func as(doc draft.Document, version int, standing draft.Standing, verified bool) draft.Document {
	doc.Standing, doc.Version, doc.At = standing, version, doc.At.Add(time.Duration(version)*time.Hour)
	doc.Signature = &draft.Signature{By: draft.Author{Name: "Dr. Ida Lund & Søn"}, At: doc.At, Verified: verified}
	if standing == draft.Drafted {
		doc.Signature = nil
	}
	if standing == draft.Amended || standing == draft.Withdrawn {
		doc.Predecessor, doc.Reason = &draft.Reference{Number: 1, Version: 1, Report: "2.25.8001"}, "wrong patient"
	}
	return doc
}

func options() Options {
	return Options{Institution: "Sykehuset", Systems: map[string]string{"HOSP": "urn:oid:1.2.36.146.595.217.0.1"}}
}

func render(t testing.TB, doc draft.Document, with Attachments) []byte {
	t.Helper()
	b, err := Render(doc, with, options())
	require.NoError(t, err)
	return b
}

// bare are reports of which little is known.
func bare(t testing.TB) (all []draft.Document) {
	doc := sample(t)
	doc.Order = nil
	all = append(all, doc)
	doc.Patient, doc.Examination, doc.Findings, doc.KeyImages = draft.Patient{}, draft.Examination{}, nil, nil
	all = append(all, doc)
	doc.Disclosure.Models = nil
	return append(all, doc)
}

func TestRender_golden(t *testing.T) {
	var got bytes.Buffer
	require.NoError(t, json.Indent(&got, render(t, sample(t), Attachments{PDF: []byte("%PDF")}), "", " "))
	golden, err := os.ReadFile("testdata/draft.json")
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile("testdata/draft.json", got.Bytes(), 0o600))
		golden, err = got.Bytes(), nil
	}
	require.NoError(t, err)
	assert.Equal(t, string(golden), got.String())
}

// A status that claims verification is of a report that somebody has verified, and of no other (standards 4.4).
func TestRender_statuses(t *testing.T) {
	for _, row := range []struct {
		standing            draft.Standing
		verified            bool
		report, observation string
	}{
		{draft.Drafted, false, "partial", "preliminary"},
		{draft.Signed, false, "preliminary", "preliminary"},
		{draft.Signed, true, "final", "final"},
		{draft.Amended, false, "preliminary", "preliminary"},
		{draft.Amended, true, "corrected", "corrected"},
		{draft.Withdrawn, false, "entered-in-error", "entered-in-error"},
		{draft.Withdrawn, true, "entered-in-error", "entered-in-error"},
	} {
		doc := as(sample(t), 2, row.standing, row.verified)
		doc.Findings[2].Retracted = "wrong"
		bundle := parse(t, render(t, doc, Attachments{Report: "2.25.9002"}))
		vouched := row.verified && row.standing != draft.Withdrawn
		for i, r := range bundle.of("Observation") {
			want := row.observation
			switch {
			case i == 1 || i == 2: // rejected, taken back
				want = "entered-in-error"
			case i == 0 && vouched: // nobody decided
				want = "preliminary"
			}
			assert.Equal(t, want, r["status"], "%s %d", row.standing, i)
		}
		report := bundle.of("DiagnosticReport")[0]
		assert.Equal(t, row.report, report["status"])
		assert.Equal(t, !vouched, strings.HasPrefix(report["conclusion"].(string), "AI DRAFT - NOT VERIFIED"), row)
		assert.Equal(t, vouched, report["resultsInterpreter"] != nil)
		assert.Len(t, report["result"], 2)
		assert.Contains(t, fmt.Sprint(report["identifier"]), "urn:oid:2.25.9002")
		revises := row.standing == draft.Amended || row.standing == draft.Withdrawn
		assert.Equal(t, revises, strings.Contains(fmt.Sprint(bundle.of("Provenance")[0]["entity"]), "urn:oid:2.25.8001"))
	}
	_, err := Render(as(sample(t), 2, draft.Amending, false), Attachments{}, options())
	assert.ErrorContains(t, err, "being amended")
}

// What was signed stays as it is when a later draft comes, but for what a person takes back.
func TestRender_laterDraft(t *testing.T) {
	urls := func(doc draft.Document, kinds ...string) (all []string) {
		for _, e := range parse(t, render(t, doc, Attachments{})).Entry {
			if slices.Contains(kinds, e.Resource["resourceType"].(string)) && (len(kinds) > 1 || e.Resource["status"] == "entered-in-error") {
				all = append(all, e.Request.URL)
			}
		}
		return all
	}
	signed, late := as(sample(t), 2, draft.Signed, true), as(sample(t), 1, draft.Drafted, false)
	late.Number = 2
	of := urls(signed, "Observation", "DiagnosticReport")
	assert.Equal(t, of, urls(as(sample(t), 4, draft.Amended, true), "Observation", "DiagnosticReport"), "a correction is in place of it")
	for _, u := range urls(late, "Observation", "DiagnosticReport") {
		assert.NotContains(t, of, u)
	}
	late.Findings[3].Decision, late.Findings[3].Retracted = draft.Proposed, "wrong weights"
	var taken []string
	for _, u := range urls(late, "Observation") {
		if slices.Contains(of, u) {
			taken = append(taken, u)
		}
	}
	assert.Equal(t, []string{of[3]}, taken)
}

func TestWriter_system(t *testing.T) {
	w := &writer{o: options()}
	for authority, want := range map[string]string{
		"HOSP": "urn:oid:1.2.36.146.595.217.0.1", "1.2.3": "urn:oid:1.2.3", "https://hospital.example/ids": "https://hospital.example/ids", "urn:oid:2.16": "urn:oid:2.16",
	} {
		assert.Equal(t, want, w.system(authority))
	}
	assert.Regexp(t, `^urn:oid:2\.25\.\d+$`, w.system("OTHER"))
	assert.NotEqual(t, w.system("OTHER"), w.system("ANOTHER"))
	assert.Contains(t, w.system("7"), "urn:oid:2.25.", "a number is no OID")
	assert.Equal(t, w.system("Sykehuset"), w.system(""), "the institution stands for an authority that nobody names")
}

func TestNames(t *testing.T) {
	got := names("Lund&Berg^Ida Marie^B^Dr.^PhD=山田^花子==")
	require.Len(t, got, 2)
	assert.Equal(t, humanName{Text: "Dr. Ida Marie B Lund&Berg PhD", Family: "Lund&Berg", Given: []string{"Ida", "Marie", "B"}, Prefix: []string{"Dr."}, Suffix: []string{"PhD"}}, got[0])
	assert.Equal(t, "山田", got[1].Family)
	assert.Empty(t, names("^^"))
	assert.Equal(t, "1970-01-01", date("19700101"))
	for _, none := range []string{"", "1970", "19701301"} {
		assert.Empty(t, date(none))
	}
}

// parsed is a bundle as its reader sees it.
type parsed struct {
	Entry []struct {
		FullURL  string `json:"fullUrl"`
		Resource map[string]any
		Request  Request
	}
}

func parse(t interface{ Fatal(...any) }, b []byte) (p parsed) {
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p parsed) of(kind string) (all []map[string]any) {
	for _, e := range p.Entry {
		if e.Resource["resourceType"] == kind {
			all = append(all, e.Resource)
		}
	}
	return all
}

// Whatever a report says, its bundle is the same each time, names no resource twice, refers to none that is not in it, and
// asks the server for exactly the identifiers that it gives.
func TestRender_anyText(t *testing.T) {
	base := sample(t)
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringOfN(rapid.SampledFrom([]rune("aß山|,$\\&=?#%+\"<>/ \n")), 0, 12, -1)
		doc, order := base, *base.Order
		order.Accession, order.Placer, order.Reason, order.Requester = word.Draw(t, "accession"), word.Draw(t, "placer"), word.Draw(t, "reason"), word.Draw(t, "requester")
		doc.Order = &order
		doc.Patient.ID, doc.Patient.Issuer, doc.Patient.Name = word.Draw(t, "patient"), word.Draw(t, "issuer"), word.Draw(t, "name")
		b, err := Render(doc, Attachments{}, options())
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := Render(doc, Attachments{}, options()); !bytes.Equal(b, again) {
			t.Fatal("other bytes the second time")
		}
		p, urls := parse(t, b), map[string]bool{}
		for _, e := range p.Entry {
			if urls[e.FullURL] {
				t.Fatalf("%s is there twice", e.FullURL)
			}
			urls[e.FullURL] = true
			_, query, _ := strings.Cut(e.Request.URL, "?")
			search, err := url.ParseQuery(query + e.Request.IfNoneExist)
			if err != nil {
				t.Fatal(err)
			}
			if ids, ok := e.Resource["identifier"].([]any); ok {
				id := ids[0].(map[string]any)
				want := searched.Replace(id["system"].(string)) + "|" + searched.Replace(id["value"].(string))
				if search.Get("identifier") != want {
					t.Fatalf("asks for %q, gives %q", search.Get("identifier"), want)
				}
			}
		}
		for _, ref := range regexp.MustCompile(`"reference":"(.*?)"`).FindAllStringSubmatch(string(b), -1) {
			if !urls[ref[1]] {
				t.Fatalf("%s refers to nothing", ref[1])
			}
		}
	})
}

var searched = strings.NewReplacer(`\`, `\\`, `|`, `\|`, `,`, `\,`, `$`, `\$`)

// TestRender_providers: who ordered, and the visit, are named by their identifiers, and are not made.
func TestRender_providers(t *testing.T) {
	type of struct {
		Type, Display string
		Identifier    *identifier
	}
	request := func(doc draft.Document) (requester, encounter *of) {
		var b struct {
			Entry []struct {
				Resource struct {
					ResourceType         string
					Requester, Encounter *of
				}
			}
		}
		require.NoError(t, json.Unmarshal(render(t, doc, Attachments{}), &b))
		for _, e := range b.Entry {
			require.NotContains(t, []string{"Practitioner", "Encounter"}, e.Resource.ResourceType)
			if e.Resource.ResourceType == "ServiceRequest" {
				requester, encounter = e.Resource.Requester, e.Resource.Encounter
			}
		}
		return requester, encounter
	}
	requester, encounter := request(sample(t))
	assert.Equal(t, &identifier{System: "urn:oid:2.16.578.1.12.4.1.4.4", Value: "4711"}, requester.Identifier)
	assert.Equal(t, "Practitioner", requester.Type)
	assert.Equal(t, "V-5", encounter.Identifier.Value)
	assert.Equal(t, "VN", encounter.Identifier.Type.Coding[0].Code)
	doc := sample(t)
	order := *doc.Order
	order.RequesterID, order.VisitNumber, doc.Order = "", "", &order
	requester, encounter = request(doc)
	assert.Equal(t, &of{Display: requester.Display}, requester, "a name alone")
	assert.Nil(t, encounter)
}
