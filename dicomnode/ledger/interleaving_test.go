package ledger

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
)

// TestInterleavings has merge, order, image, analysis, report, draft and delivery come in every order in which they can: at
// the end the study, its order and its draft are the surviving patient's, the last message that was sent says so, and after
// the merge none was sent that says otherwise. A gate that holds holds no other result at the end: all agrees.
func TestInterleavings(t *testing.T) {
	const (
		merge = iota
		order
		image
		analysis // of the image
		report
		drafted  // by the desk, if a draft is due
		delivery // of what is due
		steps
	)
	follows := map[int]int{analysis: image, report: analysis}
	l, _ := keep(t, filepath.Join(t.TempDir(), "ledger.db"), &memoryJournal{}) // its commits do not wait for the disk
	every := installed.Scaled(3, 1)
	for n, permutation := range permutations(steps) {
		possible := n%every == 0
		for later, earlier := range follows {
			possible = possible && slices.Index(permutation, earlier) < slices.Index(permutation, later)
		}
		if !possible {
			continue
		}
		w := &world{t: t, l: l, n: n + 1, study: dicom.UID(fmt.Sprintf("1.2.%d", n+1))}
		for _, step := range permutation {
			switch step {
			case merge:
				require.Equal(t, "AA", take(t, l, w.message("m", mergeInto(w.person("W"), w.of("X")))).Answer.Code)
				w.merged = true
			case order:
				m := w.message("o")
				m.Orders = []OrderChange{orderFor(w.of("A"), w.person("X"))}
				require.Equal(t, "AA", take(t, l, m).Answer.Code)
			case image:
				w.receive()
			case analysis:
				require.NoError(t, l.FinishJob(bg, w.of("entry")+".demo", testModel, frames(), []Object{w.object("heatmap")}, at(30)))
			case report:
				w.report()
			case drafted:
				w.draft()
			case delivery:
				w.deliver()
			}
		}
		w.settle()
		whose, err := l.PatientOf(bg, w.study)
		require.NoError(t, err)
		require.Equal(t, w.person("W"), whose.Person, "%v", permutation)
		o, ok, err := l.OrderOf(bg, w.study)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, w.person("W"), o.Patient)
		g, err := l.GateOf(bg, w.study)
		require.NoError(t, err)
		require.Empty(t, g.Mismatches, "%v", permutation)
		require.NotEmpty(t, w.sent)
		require.Equal(t, w.of("W"), w.sent[len(w.sent)-1], "%v", permutation)
		require.Empty(t, w.wrong, "sent under the old identity after the merge: %v", permutation)
		d, err := l.Draft(bg, w.study, 0, 0)
		require.NoError(t, err)
		require.Contains(t, string(d.Document), w.of("W"))
	}
}

// TestInterleavings_signed does so with what a person signs: each signed version goes out once, and none under an identity
// that the patient had before a merge or another name that came by then. What was signed stays as it is.
func TestInterleavings_signed(t *testing.T) {
	const (
		merge   = iota
		renamed // A08
		drafted
		signed   // what is drafted, if it is not signed
		anew     // by the desk, what is stale
		delivery // of what is due
		steps
	)
	j := &memoryJournal{}
	l, _ := keep(t, filepath.Join(t.TempDir(), "ledger.db"), j)
	every := installed.Scaled(3, 1)
	for n, permutation := range permutations(steps) {
		if n%every > 0 || slices.Index(permutation, drafted) > slices.Index(permutation, signed) {
			continue
		}
		w := &world{t: t, l: l, n: n + 1, study: dicom.UID(fmt.Sprintf("1.2.%d", n+1))}
		w.receive()
		require.NoError(t, l.FinishJob(bg, w.of("entry")+".demo", testModel, frames(), []Object{w.object("heatmap")}, at(30)))
		order := func() {
			m := w.message("o")
			m.Orders = []OrderChange{orderFor(w.of("A"), w.person("X"))}
			require.Equal(t, "AA", take(t, l, m).Answer.Code)
		}
		if n%4 < 2 {
			order()
		}
		late := w.person("W")
		late.Name = "Late^First"
		for _, step := range permutation {
			switch step {
			case merge:
				require.Equal(t, "AA", take(t, l, w.message("m", PatientChange{Person: Person{Identifier: late.Identifier}, Prior: []Identifier{w.person("X").Identifier}})).Answer.Code)
				w.merged = true
			case renamed:
				require.Equal(t, "AA", take(t, l, w.message("r", PatientChange{Person: late})).Answer.Code)
			case drafted:
				w.report() // once more, where the order has come
				w.draft()
			case signed:
				w.sign()
			case anew:
				w.anew()
			case delivery:
				w.deliver()
			}
		}
		if n%4 == 2 {
			order()
		}
		w.settle()
		require.Len(t, slices.DeleteFunc(slices.Clone(w.versions), func(v string) bool { return !w.signed[v] }), 1, "%v", permutation)
		require.Empty(t, w.wrong, "sent under the old identity after the merge: %v", permutation)
		d, err := l.Draft(bg, w.study, 1, w.signedVersion)
		require.NoError(t, err)
		require.Equal(t, w.document, string(d.Document), "what was signed stays")
		stale, err := l.Stale(bg, 10)
		require.NoError(t, err)
		require.Empty(t, stale)
	}
	again, _ := keep(t, filepath.Join(t.TempDir(), "ledger.db"), j)
	require.Equal(t, dump(t, l), dump(t, again))
}

// world is a study, with whom it is of, among others in one ledger.
type world struct {
	t      *testing.T
	l      *Ledger
	n      int
	study  dicom.UID
	merged bool
	sent   []string // patients that messages named
	wrong  []string // of them, those of before a merge that had come by then
	made   int

	signed        map[string]bool // versions
	versions      []string        // that messages were sent of
	signedVersion int
	document      string // that was signed
}

func (w *world) of(name string) string { return fmt.Sprintf("%s%d", name, w.n) }

func (w *world) person(name string) Person {
	return Person{Identifier: id(w.of(name)), Name: "Last^First", BirthDate: "19610203", Sex: "F"}
}

func (w *world) message(control string, changes ...PatientChange) Inbound {
	m := told(w.of(control), changes...)
	m.Digest = w.of("digest of " + control)
	return m
}

func (w *world) receive() {
	r := receipt(1)
	r.ID, r.Seq, r.Gate, r.Digest = w.of("entry"), uint64(w.n), GateHold, fmt.Sprintf("%064x", w.n)
	h := &r.Header
	h.PatientID, h.IssuerOfPatientID, h.PatientName, h.PatientBirthDate, h.PatientSex = w.of("X"), "HOSP", "Last^First", "19610203", "F"
	h.AccessionNumber, h.StudyInstanceUID, h.SOPInstanceUID = w.of("A"), w.study, w.study+".1"
	r.Destinations = []string{"pacs"}
	require.Equal(w.t, []Verdict{New}, receive(w.t, w.l, r))
}

func (w *world) object(purpose string) Object {
	w.made++
	o := object(1, "pacs")
	o.Entry, o.Purpose = fmt.Sprintf("made%d-%d", w.n, w.made), purpose
	o.Instance.StudyInstanceUID, o.Instance.SOPInstanceUID = w.study, dicom.UID(fmt.Sprintf("2.25.%d.%d", w.n, w.made))
	o.Source = w.study + ".1"
	return o
}

// report makes the reports that are due on the study.
func (w *world) report() {
	exams, err := w.l.DueExams(bg, at(1<<20), 0, 0)
	require.NoError(w.t, err)
	for _, e := range exams {
		if e.StudyInstanceUID == w.study {
			require.NoError(w.t, w.l.FinishReport(bg, e, []Object{w.object("sr")}, at(40)))
		}
	}
}

// sign does what a person does.
func (w *world) sign() {
	newest, err := w.l.Draft(bg, w.study, 0, 0)
	require.NoError(w.t, err)
	put := w.version(newest.Number, newest.Version+1)
	put.Event, put.Standing, put.System, put.Basis = DraftSigned, "signed", false, newest.Basis
	w.signedVersion, w.document = put.Version, string(put.Document)
	w.signed = map[string]bool{fmt.Sprintf("%d.%d", put.Number, put.Version): true}
	w.put(put)
}

// anew does what the desk does about messages of signed versions; what it makes a second time after a crash changes nothing.
func (w *world) anew() {
	stale, err := w.l.Stale(bg, 1000)
	require.NoError(w.t, err)
	for _, d := range stale {
		if d.Instance.StudyInstanceUID != w.study {
			continue
		}
		require.True(w.t, w.signed[fmt.Sprintf("%d.%d", d.Number, d.Version)])
		require.ErrorIs(w.t, w.l.Readdress(bg, d.ID, Outgoing{Entry: "of another"}, w.person("Y"), at(55)), ErrPatient)
		whose, err := w.l.PatientOf(bg, w.study)
		require.NoError(w.t, err)
		for range 2 {
			w.made++
			message := Outgoing{Entry: fmt.Sprintf("oru-%s-%d.%d-%d", whose.ID, d.Number, d.Version, w.made)}
			require.NoError(w.t, w.l.Readdress(bg, d.ID, message, whose.Person, at(55)))
		}
	}
}

// version is one that says whose the study is.
func (w *world) version(number, version int) Draft {
	whose, err := w.l.PatientOf(bg, w.study)
	require.NoError(w.t, err)
	document, err := json.Marshal(map[string]any{"version": version, "patient": map[string]string{
		"id": whose.ID, "issuer": whose.Authority, "name": whose.Name, "birth_date": whose.BirthDate, "sex": whose.Sex,
	}})
	require.NoError(w.t, err)
	return Draft{Study: w.study, Number: number, Version: version, Event: DraftDrafted, Standing: "draft", System: true, At: at(50), Document: document}
}

func (w *world) put(d Draft) {
	whose, err := w.l.PatientOf(bg, w.study)
	require.NoError(w.t, err)
	message := Outgoing{Kind: "hl7", Purpose: "oru", Destination: "ris", Entry: fmt.Sprintf("oru-%s-%d.%d", whose.ID, d.Number, d.Version), Digest: "d"}
	require.NoError(w.t, w.l.PutDraft(bg, d, nil, []Outgoing{message}))
}

// draft does what the desk does. Of every second study on which a draft is signed it begins the next.
func (w *world) draft() (made bool) {
	due, err := w.l.DueDrafts(bg, 1000)
	require.NoError(w.t, err)
	for _, d := range due {
		if d.Study != w.study {
			continue
		}
		state, err := w.l.Desk(bg, w.study)
		require.NoError(w.t, err)
		number, version := 1, 1
		if state.Number > 0 {
			newest, err := w.l.Draft(bg, w.study, 0, 0)
			require.NoError(w.t, err)
			number, version = newest.Number, newest.Version+1
			if newest.Standing == "signed" && w.n%2 == 0 {
				require.NoError(w.t, w.l.SettleDraft(bg, w.study, d.Version, "", at(50)))
				continue
			}
			if newest.Standing == "signed" {
				number, version = newest.Number+1, 1
			}
		}
		put := w.version(number, version)
		put.Basis = Basis{Desk: d.Version}
		w.put(put)
		made = true
	}
	return made
}

// deliver sends what is due.
func (w *world) deliver() {
	for _, destination := range []string{"pacs", "ris"} {
		ds, err := w.l.DueDeliveries(bg, destination, at(1<<20), 10*365*24*time.Hour, 1000)
		require.NoError(w.t, err)
		for _, d := range ds {
			if d.Instance.StudyInstanceUID != w.study {
				continue
			}
			require.NoError(w.t, w.l.Delivered(bg, d.ID, d.Entry, said("AA"), at(60)))
			if destination == "ris" {
				named := strings.Split(d.Entry, "-")[1]
				w.sent = append(w.sent, named)
				w.versions = append(w.versions, strings.Split(d.Entry, "-")[2])
				if w.merged && named != w.of("W") {
					w.wrong = append(w.wrong, named)
				}
			}
		}
	}
}

// settle has all that is due done.
func (w *world) settle() {
	for range 10 {
		w.report()
		w.anew()
		made := w.draft()
		w.deliver()
		if !made {
			return
		}
	}
	w.t.Fatal("it never comes to rest")
}

// TestPutDraft_ofAnotherPatient refuses to send what was made before the patient changed.
func TestPutDraft_ofAnotherPatient(t *testing.T) {
	l := openLedger(t)
	receive(t, l, by(1, GateWarn, nil))
	put := func(version int, id string) error {
		document, err := json.Marshal(map[string]any{"v": version, "patient": map[string]string{"id": id, "name": "Hébert^Zoë"}})
		require.NoError(t, err)
		return l.PutDraft(bg, Draft{Study: "1.2", Number: 1, Version: version, Event: DraftDrafted, Standing: "draft", System: true, At: at(5), Document: document},
			nil, []Outgoing{{Kind: "hl7", Purpose: "oru", Destination: "ris", Entry: fmt.Sprint("m", version)}})
	}
	require.NoError(t, put(1, "P1"))
	take(t, l, told("1", PatientChange{Person: Person{Identifier: Identifier{ID: "P2"}}, Prior: []Identifier{{ID: "P1"}}}))
	require.ErrorIs(t, put(2, "P1"), ErrPatient)
	whose, err := l.PatientOf(bg, "1.2")
	require.NoError(t, err)
	require.Equal(t, "P2", whose.ID)
	require.Equal(t, "Hébert^Zoë", whose.Name, "nobody has told another one")
	require.NoError(t, put(2, "P2"))
}
