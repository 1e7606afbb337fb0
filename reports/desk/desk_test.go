package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/clock"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/ledger/ledgertest"
	"endogate/inference/analysis"
	"endogate/reports"
	"endogate/reports/draft"
)

const study = dicom.UID("1.2.826.0.1.3680043.8.498.1")

var (
	start   = time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)
	polyp   = dicom.Code{Value: "68496003", Scheme: "SCT", Meaning: "Polyp of colon"}
	colon   = dicom.Code{Value: "71854001", Scheme: "SCT", Meaning: "Colon"}
	sigmoid = dicom.Code{Value: "60184004", Scheme: "SCT", Meaning: "Sigmoid colon"}
	demo    = analysis.Model{Manufacturer: "Maker", Name: "demo", Version: "1.2", Digest: "abcd"}
	classes = []analysis.Class{{Name: "polyp", Role: analysis.RoleFinding, Threshold: 0.5, Finding: polyp, Site: colon}}

	anna = draft.Author{Name: "Dr. Anna Weiß", Unauthenticated: true}
)

// room is a desk on a real ledger.
type room struct {
	*Desk
	t      *testing.T
	ledger *ledger.Ledger
	press  *press
	path   string

	mu       sync.Mutex
	clock    time.Time
	seq      int
	measured []string
	gone     bool // the bytes of all images
}

// press is a publisher that remembers what it was given.
type press struct {
	mu   sync.Mutex
	made []string
	err  error
	then func() // called behind a publication

	again int // messages made anew

	dropped []string // entries
}

func (p *press) Drop(_ context.Context, made []ledger.Outgoing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range made {
		p.dropped = append(p.dropped, o.Entry)
	}
}

func (p *press) Publish(_ context.Context, doc draft.Document, event ledger.DraftEvent) ([]ledger.Outgoing, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return nil, p.err
	}
	text, err := json.Marshal(doc)
	p.made = append(p.made, string(event)+" "+string(text))
	if p.then != nil {
		p.then()
	}
	entry := fmt.Sprintf("oru %d.%d of try %d", doc.Number, doc.Version, len(p.made))
	return []ledger.Outgoing{{Kind: ledger.KindHL7, Entry: entry, Purpose: "oru", Destination: "ris"}}, err
}

func (p *press) Objects(context.Context, draft.Document) ([]ledger.Outgoing, error) { return nil, nil }

func (p *press) Readdress(_ context.Context, doc draft.Document, patient draft.Patient, destination string) (ledger.Outgoing, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return ledger.Outgoing{}, p.err
	}
	p.again++
	return ledger.Outgoing{Entry: fmt.Sprintf("oru %d.%d for %s at %s, try %d", doc.Number, doc.Version, patient.ID, destination, p.again)}, nil
}

func newRoom(t *testing.T) *room {
	r := &room{t: t, path: filepath.Join(t.TempDir(), "ledger.db"), clock: start, press: &press{}}
	r.open()
	t.Cleanup(func() { require.NoError(t, r.ledger.Close()) })
	return r
}

// open opens the ledger, as after a crash, and puts a desk on it.
func (r *room) open() {
	if r.ledger != nil {
		require.NoError(r.t, r.ledger.Close())
	}
	var err error
	r.ledger, err = ledgertest.Open(r.path, ledger.Open)
	require.NoError(r.t, err)
	r.Desk = &Desk{
		Ledger: r.ledger, Templates: draft.Default(), Language: "en", KeyImages: 2, Publisher: r.press,
		Model: func(name string) (Model, bool) {
			return Model{Model: demo, IntendedUse: "Demonstration", Classes: classes}, name == "demo"
		},
		Source:              r.source,
		Quality:             r.quality,
		UnauthenticatedSign: true, Log: slog.New(slog.DiscardHandler), Now: r.now,
	}
	r.retries = map[dicom.UID]clock.Wait{}
}

func (r *room) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clock
}

func (r *room) tick(d time.Duration) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = r.clock.Add(d)
	return r.clock
}

func (r *room) source(context.Context, string) (reports.Source, error) {
	if r.gone {
		return reports.Source{}, reports.ErrGone
	}
	return reports.Source{Attributes: &dicom.Attributes{}}, nil
}

func (r *room) quality(_ context.Context, entry string, frame int) (draft.Quality, error) {
	r.measured = append(r.measured, fmt.Sprintf("%s %d", entry, frame))
	return draft.Measure(image.NewRGBA(image.Rect(0, 0, 64, 64))), nil
}

// frame has an image of the study arrive.
func (r *room) frame() string {
	r.t.Helper()
	r.seq++
	entry := fmt.Sprintf("entry%03d", r.seq)
	_, err := r.ledger.Receive(r.t.Context(), []ledger.Receipt{{
		ID: entry, Seq: uint64(r.seq), TransferSyntaxUID: "1.2.840.10008.1.2.4.50", CallingAE: "SCOPE1", CalledAE: "ENDOGATE", At: r.tick(time.Second),
		Size: 1000, Digest: fmt.Sprintf("%064d", r.seq), Route: "endoscopy", Models: []string{"demo"}, Destinations: []string{"ris"},
		Header: dicom.Header{
			SOPInstance: dicom.SOPInstance{
				SOPClassUID: "1.2.840.10008.5.1.4.1.1.77.1.1", SOPInstanceUID: study + dicom.UID(fmt.Sprintf(".1.%d", r.seq)),
				SeriesInstanceUID: study + ".1", StudyInstanceUID: study,
			},
			PatientID: "P1", PatientName: "Doe^Jane", AccessionNumber: "A1", Modality: "ES", StudyDate: "20261129", InstanceNumber: r.seq, NumberOfFrames: 1,
		},
	}}, uint64(r.seq))
	require.NoError(r.t, err)
	return entry
}

// analyse finishes the job of an entry with a finding of that probability.
func (r *room) analyse(entry string, probability float64) {
	r.t.Helper()
	result := analysis.Result{Span: analysis.Still(1), Rows: 480, Columns: 640, Scores: map[string]float64{"polyp": probability}}
	if probability >= 0.5 {
		result.Findings = []analysis.Finding{classes[0].Seen(probability)}
	}
	require.NoError(r.t, r.ledger.FinishJob(r.t.Context(), entry+".demo", demo, []analysis.Result{result}, nil, r.tick(time.Second)))
}

// assemble reports on the exams that are due.
func (r *room) assemble() {
	r.t.Helper()
	exams, err := r.ledger.DueExams(r.t.Context(), r.now().Add(time.Hour), 0, 0)
	require.NoError(r.t, err)
	require.NotEmpty(r.t, exams)
	for _, e := range exams {
		require.NoError(r.t, r.ledger.FinishReport(r.t.Context(), e, nil, r.tick(time.Second)))
	}
}

// examined has an examination of images with these probabilities reported on, and drafts made.
func (r *room) examined(probabilities ...float64) {
	r.t.Helper()
	for _, p := range probabilities {
		r.analyse(r.frame(), p)
	}
	r.assemble()
	r.rounds()
}

func (r *room) rounds() {
	r.t.Helper()
	require.NoError(r.t, r.round(r.t.Context()))
}

func (r *room) newest() draft.Document {
	r.t.Helper()
	v, err := r.Version(r.t.Context(), study, 0, 0)
	require.NoError(r.t, err)
	return v.Content
}

// history is number.version and event of all versions.
func (r *room) history() (all []string) {
	r.t.Helper()
	versions, err := r.ledger.Drafts(r.t.Context(), study, ledger.Page{})
	require.NoError(r.t, err)
	for _, v := range versions {
		all = append(all, fmt.Sprintf("%d.%d %s", v.Number, v.Version, v.Event))
	}
	return all
}

func (r *room) edit(edits ...draft.Edit) draft.Document {
	r.t.Helper()
	doc, err := r.Edit(r.t.Context(), study, r.newest().Reference(), edits, anna)
	require.NoError(r.t, err)
	return doc
}

// TestDesk_draft makes a draft when the examination is assembled, of what is there, and no second one.
func TestDesk_draft(t *testing.T) {
	r := newRoom(t)
	first, second := r.frame(), r.frame()
	r.analyse(first, 0.9)
	r.rounds()
	require.Empty(t, r.history(), "a job is open")
	r.analyse(second, 0.2)
	r.rounds()
	require.Empty(t, r.history(), "the exam is open")
	r.assemble()
	r.rounds()
	r.rounds()
	require.Equal(t, []string{"1.1 drafted"}, r.history())
	doc := r.newest()
	require.NoError(t, doc.Validate())
	require.Equal(t, draft.Drafted, doc.Standing)
	require.Equal(t, 2, doc.Examination.Images)
	require.Equal(t, 2, doc.Disclosure.Frames.Analysed)
	require.Len(t, doc.Findings, 1)
	require.Equal(t, "P1", doc.Patient.ID)
	require.Equal(t, []string{"entry001 1"}, r.measured, "candidates alone")
	require.Len(t, r.press.made, 1)
	due, err := r.ledger.DueDeliveries(t.Context(), "ris", r.now(), time.Hour, 10)
	require.NoError(t, err)
	require.Len(t, due, 1)
	require.Equal(t, "oru 1.1 of try 1", due[0].Entry)
}

// TestDesk_orderInDoubt copies nothing of an order of another patient than the images'.
func TestDesk_orderInDoubt(t *testing.T) {
	r := newRoom(t)
	r.examined(0.9)
	_, err := r.ledger.TakeMessage(t.Context(), ledger.Inbound{
		Message: ledger.Message{Entry: "message1", Application: "RIS", ControlID: "1", At: r.tick(time.Second), Answer: ledger.Answer{Protocol: "hl7", Code: "AA"}},
		Orders: []ledger.OrderChange{{Patch: []byte(`{"accession": "A1", "placer": {"id": "PL1"}, "reason": "bleeding",
			"patient": {"identifier": {"id": "P2"}, "name": "Other^One", "birth_date": "19500101"}}`)}},
	})
	require.NoError(t, err)
	r.assemble()
	r.rounds()
	doc := r.newest()
	require.Equal(t, "P1", doc.Patient.ID)
	require.Equal(t, "Doe^Jane", doc.Patient.Name)
	require.Nil(t, doc.Order)
	require.Contains(t, doc.Notices, ledger.MismatchPatient.String())

	person := ledger.By(t.Context(), ledger.Actor{Kind: ledger.ActorPerson, Name: "anna"})
	require.NoError(t, r.ledger.CorrectGate(person, study, ledger.Correction{Accession: "A1"}, r.tick(time.Second)))
	r.assemble()
	r.rounds()
	doc = r.newest()
	require.Equal(t, "P2", doc.Patient.ID, "a person has said so")
	require.Equal(t, "PL1", doc.Order.Placer)
}

// TestDesk_orderCancelled: what was found stays, and whoever reads the draft learns that nobody waits for it any more.
func TestDesk_orderCancelled(t *testing.T) {
	r := newRoom(t)
	r.examined(0.9)
	message := func(id string, patch string) {
		_, err := r.ledger.TakeMessage(t.Context(), ledger.Inbound{
			Message: ledger.Message{Entry: "message" + id, Application: "RIS", ControlID: id, At: r.tick(time.Second), Answer: ledger.Answer{Protocol: "hl7", Code: "AA"}},
			Orders:  []ledger.OrderChange{{Patch: []byte(patch)}},
		})
		require.NoError(t, err)
	}
	notice := "the order of this examination was cancelled"
	message("1", `{"accession": "A1", "placer": {"id": "PL1"}, "patient": {"identifier": {"id": "P1"}}}`)
	r.assemble()
	r.rounds()
	require.NotNil(t, r.newest().Order)
	require.NotContains(t, r.newest().Notices, notice)
	message("2", `{"accession": "A1", "placer": {"id": "PL1"}, "state": "cancelled"}`)
	r.rounds()
	require.NotNil(t, r.newest().Order)
	require.Contains(t, r.newest().Notices, notice)
}

// TestDesk_again keeps what a person has decided when there is more to say, and makes nothing of what says nothing new.
func TestDesk_again(t *testing.T) {
	r := newRoom(t)
	r.examined(0.9)
	doc := r.newest()
	r.edit(draft.Edit{Op: draft.OpChange, Finding: doc.Findings[0].ID, Site: &sigmoid}, draft.Edit{Op: draft.OpSection, Section: "impression", Text: new("A polyp.")})
	require.NoError(t, r.ledger.RetryDraft(t.Context(), study, r.now()))
	r.rounds()
	require.Equal(t, []string{"1.1 drafted", "1.2 edited"}, r.history())

	r.examined(0.97, 0.8)
	require.Equal(t, []string{"1.1 drafted", "1.2 edited", "1.3 drafted"}, r.history())
	doc = r.newest()
	require.Equal(t, sigmoid, doc.Findings[0].Site)
	require.Equal(t, draft.Changed, doc.Findings[0].Decision)
	require.Equal(t, anna, doc.Findings[0].By)
	require.Equal(t, 3, doc.Findings[0].Flagged)
	require.Equal(t, []string{"entry001 1", "entry002 1", "entry003 1"}, unique(r.measured), "each frame once")
	require.Len(t, r.press.made, 2, "what a person edits is sent when it is signed")
}

func unique(all []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, s := range all {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	if len(out) != len(all) {
		return append(out, "and some again")
	}
	return out
}

// TestDesk_lateFrame begins the next draft with what comes after a signature; what was signed stays byte for byte.
func TestDesk_lateFrame(t *testing.T) {
	for _, gone := range []bool{false, true} {
		r := newRoom(t)
		r.examined(0.9)
		signed, err := r.Sign(t.Context(), study, r.newest().Reference(), anna)
		require.NoError(t, err)
		require.Equal(t, draft.Signed, signed.Standing)
		require.False(t, signed.Signature.Verified)
		before, err := r.ledger.Draft(t.Context(), study, 1, 2)
		require.NoError(t, err)

		require.NoError(t, r.ledger.RetryDraft(t.Context(), study, r.now()))
		r.rounds()
		require.Equal(t, []string{"1.1 drafted", "1.2 signed"}, r.history(), "it says nothing new")
		r.gone = gone
		r.examined(0.8)
		require.Equal(t, []string{"1.1 drafted", "1.2 signed", "2.1 drafted"}, r.history())
		after, err := r.ledger.Draft(t.Context(), study, 1, 2)
		require.NoError(t, err)
		require.Equal(t, before, after)
		next := r.newest()
		require.Equal(t, draft.Drafted, next.Standing)
		require.Equal(t, signed.Reference(), *next.Predecessor)
		require.NotEmpty(t, next.Notices)
		require.Contains(t, strings.Join(next.Notices, " "), "1.2")

		amended, err := r.Sign(t.Context(), study, next.Reference(), anna)
		require.NoError(t, err)
		require.Equal(t, draft.Amended, amended.Standing, "it corrects what was signed")
		require.Equal(t, signed.Reference(), *amended.Predecessor)
		require.Equal(t, "2.2 amended", r.history()[3])

		withdrawn, err := r.Withdraw(t.Context(), study, signed.Reference(), anna, "wrong patient")
		require.NoError(t, err, "the first can still be taken back")
		require.Equal(t, 3, withdrawn.Version)
		require.Equal(t, amended, r.newest())
	}
}

// TestDesk_amend signs, opens, edits, signs again and withdraws; each names what it follows, and is sent when it stands.
func TestDesk_amend(t *testing.T) {
	r := newRoom(t)
	ctx := t.Context()
	r.examined(0.9)
	signed, err := r.Sign(ctx, study, r.newest().Reference(), anna)
	require.NoError(t, err)
	var standing *draft.StandingError
	_, err = r.Edit(ctx, study, signed.Reference(), []draft.Edit{{Op: draft.OpReject, Finding: signed.Findings[0].ID}}, anna)
	require.ErrorAs(t, err, &standing)
	amending, err := r.Amend(ctx, study, signed.Reference(), anna, "the site was wrong")
	require.NoError(t, err)
	require.Equal(t, signed.Reference(), *amending.Predecessor)
	r.examined(0.95) // comes while the correction is under way: it takes it in, and is not sent yet
	r.edit(draft.Edit{Op: draft.OpReject, Finding: signed.Findings[0].ID})
	amended, err := r.Sign(ctx, study, r.newest().Reference(), anna)
	require.NoError(t, err)
	require.Equal(t, draft.Amended, amended.Standing)
	_, err = r.Withdraw(ctx, study, amended.Reference(), anna, "wrong patient")
	require.NoError(t, err)
	require.Equal(t, []string{"1.1 drafted", "1.2 signed", "1.3 amending", "1.4 drafted", "1.5 edited", "1.6 amended", "1.7 withdrawn"}, r.history())
	var sent []string
	for _, m := range r.press.made {
		event, _, _ := strings.Cut(m, " ")
		sent = append(sent, event)
	}
	require.Equal(t, []string{"drafted", "signed", "amended", "withdrawn"}, sent)
	detail, err := r.ledger.Study(ctx, study, ledger.Page{})
	require.NoError(t, err)
	var steps []string
	for _, e := range detail.Events {
		if strings.HasPrefix(e.Detail, "draft 1.") {
			steps = append(steps, fmt.Sprintf("%s %s (%s)", e.What, e.Detail, e.By))
		}
	}
	require.Contains(t, steps, "signed draft 1.2, by Dr. Anna Weiß (not signed in) (a person (no sign-in))")
	require.Contains(t, steps, "drafted draft 1.1 (system desk)")
}

// TestDesk_retracted says in the draft that a person took results back, and begins the next draft where one is signed.
func TestDesk_retracted(t *testing.T) {
	for _, signed := range []bool{false, true} {
		r := newRoom(t)
		ctx := ledger.By(t.Context(), ledger.Actor{Kind: ledger.ActorPerson})
		r.examined(0.9)
		at := r.newest().Reference()
		if signed {
			doc, err := r.Sign(ctx, study, at, anna)
			require.NoError(t, err)
			at = doc.Reference()
		}
		done, err := r.ledger.Retract(ctx, ledger.Retraction{Model: "demo", Reason: "wrong weights"}, r.tick(time.Second))
		require.NoError(t, err)
		require.Len(t, done, 1)
		r.assemble()
		r.rounds()
		doc := r.newest()
		require.Equal(t, "wrong weights", doc.Findings[0].Retracted)
		version, err := r.Version(ctx, study, 0, 0)
		require.NoError(t, err)
		require.Equal(t, ledger.DraftRetracted, version.Event)
		if signed {
			require.Equal(t, [2]int{1, 3}, [2]int{doc.Number, doc.Version}, "the report that was signed says so")
			require.Equal(t, at, *doc.Predecessor)
			require.Equal(t, draft.Amended, doc.Standing)
			require.Equal(t, anna, doc.Signature.By)
			last := r.press.made[len(r.press.made)-1]
			require.True(t, strings.HasPrefix(last, "retracted ") && strings.Contains(last, `"retracted":"wrong weights"`), "and is sent")
			require.Contains(t, strings.Join(doc.Notices, " "), "wrong weights")
			require.NoError(t, r.ledger.RetryDraft(ctx, study, r.now()))
			r.rounds()
			require.Len(t, r.history(), 3, "that is all there is to say")
			r.examined(0.9, 0.8)
			require.Equal(t, "2.1 drafted", r.history()[3])
			require.Equal(t, 1, r.newest().Predecessor.Number)
		} else {
			require.Equal(t, [2]int{1, 2}, [2]int{doc.Number, doc.Version})
		}
	}
}

// TestDesk_retractedAmidCorrection: who has what was signed hears at once what of it was taken back, though a person is at a
// correction of it. That goes on behind it with all that it had, after an end in between, too.
func TestDesk_retractedAmidCorrection(t *testing.T) {
	for _, killed := range []bool{false, true} {
		r := newRoom(t)
		ctx := ledger.By(t.Context(), ledger.Actor{Kind: ledger.ActorPerson})
		r.examined(0.9)
		signed, err := r.Sign(ctx, study, r.newest().Reference(), anna)
		require.NoError(t, err)
		amending, err := r.Amend(ctx, study, signed.Reference(), anna, "the site")
		require.NoError(t, err)
		r.edit(draft.Edit{Op: draft.OpChange, Finding: amending.Findings[0].ID, Site: &sigmoid}, draft.Edit{Op: draft.OpSection, Section: "impression", Text: new("A polyp.")})
		require.Equal(t, []string{"1.1 drafted", "1.2 signed", "1.3 amending", "1.4 edited"}, r.history())
		made := len(r.press.made)
		_, err = r.ledger.Retract(ctx, ledger.Retraction{Model: "demo", Reason: "wrong weights"}, r.tick(time.Second))
		require.NoError(t, err)
		r.assemble()
		if killed {
			r.Entered = func(dicom.UID, bool) { panic("the end comes here") }
			r.rounds()
			require.Equal(t, "1.5 retracted", r.history()[4])
			r.Entered = nil
			state, err := r.ledger.Desk(ctx, study)
			require.NoError(t, err)
			if state.Covered == state.Version { // a panic is settled, an end would not be
				require.NoError(t, r.ledger.RetryDraft(ctx, study, r.now()))
			}
		}
		r.rounds()
		require.Equal(t, []string{"1.5 retracted", "1.6 retracted"}, r.history()[4:])
		require.Len(t, r.press.made, made+1, "at once, and once")
		said, err := r.version(ctx, study, 1, 5)
		require.NoError(t, err)
		require.Equal(t, draft.Amended, said.Standing)
		require.Equal(t, signed.Reference(), *said.Predecessor)
		require.Equal(t, "wrong weights", said.Findings[0].Retracted)
		require.NotEqual(t, sigmoid, said.Findings[0].Site, "nothing that nobody has signed")
		require.True(t, strings.HasPrefix(r.press.made[made], "retracted ") && strings.Contains(r.press.made[made], `"version":5`))
		doc := r.newest()
		require.Equal(t, draft.Amending, doc.Standing)
		require.Equal(t, said.Reference(), *doc.Predecessor)
		require.Equal(t, sigmoid, doc.Findings[0].Site, "what the person has done stays")
		require.Equal(t, "wrong weights", doc.Findings[0].Retracted)
		require.Equal(t, "the site", doc.Reason)
		again, err := r.Sign(ctx, study, doc.Reference(), anna)
		require.NoError(t, err)
		require.Equal(t, [2]int{1, 7}, [2]int{again.Number, again.Version})
		require.Equal(t, said.Reference(), *again.Predecessor)
		require.NoError(t, r.ledger.RetryDraft(ctx, study, r.now()))
		r.rounds()
		require.Len(t, r.history(), 7, "that is all there is to say")
	}
}

// TestDesk_readdress makes what waits of a signed report anew when the patient is merged, begins no draft for that, and parks what
// cannot be made.
func TestDesk_readdress(t *testing.T) {
	r := newRoom(t)
	ctx := t.Context()
	r.examined(0.9)
	signed, err := r.Sign(ctx, study, r.newest().Reference(), anna)
	require.NoError(t, err)
	merge := func(control string, into, prior string) {
		t.Helper()
		taken, err := r.ledger.TakeMessage(ctx, ledger.Inbound{
			Message: ledger.Message{Entry: control, Application: "RIS", ControlID: control, Digest: control, Type: "ADT^A40", At: r.tick(time.Second), Answer: ledger.Answer{Code: "AA"}},
			Patients: []ledger.PatientChange{{
				Person: ledger.Person{Identifier: ledger.Identifier{ID: into}, Name: "Survivor"}, Prior: []ledger.Identifier{{ID: prior}},
			}},
		})
		require.NoError(t, err)
		require.Equal(t, "AA", taken.Answer.Code, taken.Answer.Text)
	}
	due := func() (entries []string) {
		t.Helper()
		ds, err := r.ledger.DueDeliveries(ctx, "ris", r.now(), time.Hour, 10)
		require.NoError(t, err)
		for _, d := range ds {
			entries = append(entries, d.Entry)
		}
		return entries
	}
	merge("m1", "N1", signed.Patient.ID)
	require.Empty(t, due(), "not under the old identity")
	r.press.err = errors.New("the disk is full")
	r.rounds()
	require.Empty(t, due())
	r.press.err = nil
	r.tick(time.Minute)
	r.rounds()
	require.Equal(t, []string{"oru 1.2 for N1 at ris, try 1"}, due())
	require.Equal(t, signed, r.newest(), "what was signed stays, and the merge is no news of it")

	merge("m2", "N2", "N1")
	r.press.err = panicked{}
	r.rounds()
	require.Empty(t, due())
	parked, n, err := r.ledger.Parked(ctx, ledger.ParkedFilter{Kind: ledger.ParkedDeliveries})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Contains(t, parked.Deliveries[0].Reason, "panic")
	r.press.err = nil
	_, err = r.ledger.Unpark(ctx, parked.Deliveries[0].ID, r.tick(time.Second))
	require.NoError(t, err)
	r.rounds()
	require.Equal(t, []string{"oru 1.2 for N2 at ris, try 2"}, due())
}

// TestDesk_whoMaySign lets nobody sign or withdraw whom nobody knows, unless the configuration says so.
func TestDesk_whoMaySign(t *testing.T) {
	for _, c := range []struct {
		name                string
		author              draft.Author
		allowed, system     bool
		refused, isVerified bool
	}{
		{"nobody knows them", anna, false, false, true, false},
		{"nobody knows them, in a reporting system", anna, false, true, true, false},
		{"allowed", anna, true, false, false, false},
		{"allowed, in a reporting system", anna, true, true, false, false},
		{"signed in", draft.Author{Name: "anna"}, false, false, false, false},
		{"signed in, in a reporting system", draft.Author{Name: "anna"}, false, true, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRoom(t)
			r.examined(0.9)
			r.UnauthenticatedSign, r.ReportingSystem = c.allowed, c.system
			at := r.newest().Reference()
			signed, err := r.Sign(t.Context(), study, at, c.author)
			if c.refused {
				require.ErrorIs(t, err, ErrUnauthenticated)
				_, err = r.Withdraw(t.Context(), study, at, c.author, "why")
				require.ErrorIs(t, err, ErrUnauthenticated)
				require.Equal(t, []string{"1.1 drafted"}, r.history())
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.isVerified, signed.Signature.Verified)
		})
	}
}

// TestDesk_twoEditors has both edit the version that they read: one of them is told of both versions.
func TestDesk_twoEditors(t *testing.T) {
	r := newRoom(t)
	r.examined(0.9, 0.8)
	doc := r.newest()
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, op := range []draft.Op{draft.OpAccept, draft.OpReject} {
		wg.Go(func() {
			_, errs[i] = r.Edit(t.Context(), study, doc.Reference(), []draft.Edit{{Op: op, Finding: doc.Findings[0].ID}}, anna)
		})
	}
	wg.Wait()
	lost := errs[0]
	if lost == nil {
		lost = errs[1]
	}
	var conflict *ledger.DraftConflictError
	require.ErrorAs(t, lost, &conflict)
	require.Equal(t, [4]int{1, 1, 2, 1}, [4]int{conflict.Number, conflict.Expected, conflict.Latest, conflict.LatestNumber})
	require.True(t, errs[0] == nil || errs[1] == nil)
	require.Equal(t, []string{"1.1 drafted", "1.2 edited"}, r.history())
}

// TestDesk_undo goes back without taking anything out of the history, and takes the decision out of the statistics.
func TestDesk_undo(t *testing.T) {
	r := newRoom(t)
	r.examined(0.9)
	id := r.newest().Findings[0].ID
	counts := func() (accepted, rejected, modified int) {
		all, err := r.ledger.AgreementCounts(t.Context(), ledger.AgreementFilter{Model: "demo"})
		require.NoError(t, err)
		for _, c := range all {
			require.Equal(t, colon, c.Site, "where the model saw it")
			accepted, rejected, modified = accepted+c.Accepted, rejected+c.Rejected, modified+c.Modified
		}
		return
	}
	require.Equal(t, [3]int{}, [3]int(three(counts())))
	r.edit(draft.Edit{Op: draft.OpAccept, Finding: id})
	require.Equal(t, [3]int{1, 0, 0}, [3]int(three(counts())))
	r.edit(draft.Edit{Op: draft.OpChange, Finding: id, Site: &sigmoid})
	require.Equal(t, [3]int{0, 0, 1}, [3]int(three(counts())))
	r.edit(draft.Edit{Op: draft.OpReject, Finding: id})
	require.Equal(t, [3]int{0, 1, 0}, [3]int(three(counts())))
	undone := r.edit(draft.Edit{Op: draft.OpUndo})
	require.Equal(t, draft.Changed, undone.Findings[0].Decision)
	require.Equal(t, [3]int{0, 0, 1}, [3]int(three(counts())))
	r.edit(draft.Edit{Op: draft.OpUndo, Version: 1})
	require.Equal(t, [3]int{}, [3]int(three(counts())))
	_, err := r.Edit(t.Context(), study, r.newest().Reference(), []draft.Edit{{Op: draft.OpUndo, Version: 99}}, anna)
	var wrong *draft.EditError
	require.ErrorAs(t, err, &wrong)
	require.Len(t, r.history(), 6)
}

func three(a, b, c int) []int { return []int{a, b, c} }

// TestDesk_crash ends the process between publishing and entering: the same is published again, and entered once.
func TestDesk_crash(t *testing.T) {
	r := newRoom(t)
	r.analyse(r.frame(), 0.9)
	r.assemble()
	ctx, kill := context.WithCancelCause(t.Context())
	r.press.then = func() { kill(errors.New("killed")) }
	_ = r.round(ctx)
	require.Empty(t, r.history())
	r.press.then = nil
	r.open()
	r.tick(time.Hour)
	r.rounds()
	require.Equal(t, []string{"1.1 drafted"}, r.history())
	require.Len(t, r.press.made, 2)
	require.Equal(t, r.press.made[0], r.press.made[1])
}

// TestDesk_dropsWhatItMadeInVain: what the ledger does not take, as the patient has another name by then, is released at once.
func TestDesk_dropsWhatItMadeInVain(t *testing.T) {
	r := newRoom(t)
	r.examined(0.9)
	r.press.then = func() {
		r.press.then = nil
		_, err := r.ledger.TakeMessage(t.Context(), ledger.Inbound{
			Message:  ledger.Message{Entry: "message1", Application: "RIS", ControlID: "1", At: r.tick(time.Second), Answer: ledger.Answer{Protocol: "hl7", Code: "AA"}},
			Patients: []ledger.PatientChange{{Person: ledger.Person{Identifier: ledger.Identifier{ID: "P1"}, Name: "Roe^Jane"}}},
		})
		require.NoError(t, err)
	}
	_, err := r.Sign(t.Context(), study, draft.Reference{Number: 1, Version: 1}, anna)
	require.ErrorIs(t, err, ledger.ErrPatient)
	require.Equal(t, []string{"oru 1.2 of try 2"}, r.press.dropped)
	r.rounds()
	doc := r.newest()
	require.Equal(t, "Roe^Jane", doc.Patient.Name)
	_, err = r.Sign(t.Context(), study, doc.Reference(), anna)
	require.NoError(t, err)
	require.Len(t, r.press.dropped, 1, "what is sent stays")
}

// TestDesk_fails tries again what may pass, and settles what does not, until somebody has mended it.
func TestDesk_fails(t *testing.T) {
	r := newRoom(t)
	r.press.err = fmt.Errorf("spool: %w", syscall.ENOSPC)
	r.examined(0.9)
	r.press.err = nil
	r.rounds()
	require.Empty(t, r.history(), "it waits")
	r.tick(firstBackoff)
	r.press.err = &draft.InvalidError{Faults: []string{"a template has no end"}}
	r.rounds()
	r.tick(lastBackoff)
	r.press.err = nil
	r.rounds()
	require.Empty(t, r.history())
	state, err := r.ledger.Desk(t.Context(), study)
	require.NoError(t, err)
	require.Contains(t, state.Reason, "a template has no end")
	require.NoError(t, r.ledger.RetryDraft(t.Context(), study, r.now()))
	r.rounds()
	require.Equal(t, []string{"1.1 drafted"}, r.history())

	_, err = r.Sign(t.Context(), study, draft.Reference{Number: 1, Version: 1}, anna)
	require.NoError(t, err)
	r.press.err = errors.New("no")
	_, err = r.Amend(t.Context(), study, draft.Reference{Number: 1, Version: 2}, anna, "it is wrong")
	require.NoError(t, err, "nothing is sent of it")
	_, err = r.Sign(t.Context(), study, draft.Reference{Number: 1, Version: 3}, anna)
	require.ErrorIs(t, err, r.press.err)
	require.Equal(t, []string{"1.1 drafted", "1.2 signed", "1.3 amending"}, r.history(), "nothing is signed that cannot be sent")
}

// TestDesk_woken makes a draft at once when it is woken.
func TestDesk_woken(t *testing.T) {
	r := newRoom(t)
	entered := make(chan bool, 1)
	r.Poll = time.Hour
	r.Entered = func(_ dicom.UID, sends bool) { entered <- sends }
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	r.analyse(r.frame(), 0.9)
	r.assemble()
	r.Wake()
	select {
	case sends := <-entered:
		require.True(t, sends)
	case <-time.After(time.Minute):
		t.Fatal("no draft")
	}
	stop()
	require.ErrorIs(t, <-done, context.Canceled)
}

// queue is a ledger of studies that are due; of none can a draft be made, and of some that may pass.
type queue struct {
	Ledger
	looks, full int
	due         []ledger.DueDraft
	settled     map[dicom.UID]bool
}

func (q *queue) DueDrafts(_ context.Context, limit int) (all []ledger.DueDraft, _ error) {
	q.looks++
	for _, d := range q.due {
		if !q.settled[d.Study] && len(all) < limit {
			all = append(all, d)
		}
	}
	if q.looks > 1000 {
		return nil, nil
	}
	return all, nil
}

func (*queue) Draft(context.Context, dicom.UID, int, int) (ledger.Draft, error) {
	return ledger.Draft{}, ledger.ErrNotFound
}

func (q *queue) ExamsOf(_ context.Context, study dicom.UID) ([]ledger.Exam, error) {
	if slices.IndexFunc(q.due, func(d ledger.DueDraft) bool { return d.Study == study }) < q.full {
		return nil, syscall.ENOSPC
	}
	return nil, &draft.InvalidError{Faults: []string{"a template has no end"}}
}

func (q *queue) SettleDraft(_ context.Context, study dicom.UID, _ int64, _ string, _ time.Time) error {
	q.settled[study] = true
	return nil
}

// TestDesk_manyFail looks at the ledger no more often for studies that are held back, and they keep no other from its turn.
func TestDesk_manyFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{full: 3 * batch, settled: map[dicom.UID]bool{}}
		for i := range 5 * batch {
			q.due = append(q.due, ledger.DueDraft{Study: dicom.UID(fmt.Sprintf("1.2.%d", i)), Version: 1})
		}
		d := &Desk{Ledger: q, Log: slog.New(slog.DiscardHandler)}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		require.ErrorIs(t, d.Run(ctx), context.DeadlineExceeded)
		require.Len(t, q.settled, 2*batch)
		require.LessOrEqual(t, q.looks, 6)
	})
}

// TestDesk_otherPatient lets nobody sign for one patient what they have read of another.
func TestDesk_otherPatient(t *testing.T) {
	r := newRoom(t)
	r.examined(0.9)
	doc := r.newest()
	r.Ledger = otherPatient{r.ledger}
	_, err := r.Sign(t.Context(), study, doc.Reference(), anna)
	var conflict *ledger.DraftConflictError
	require.ErrorAs(t, err, &conflict)
	require.True(t, conflict.OtherPatient)
	require.Equal(t, []string{"1.1 drafted"}, r.history())
	doc = r.edit(draft.Edit{Op: draft.OpAccept, Finding: doc.Findings[0].ID})
	require.Equal(t, "P2", doc.Patient.ID, "the next version can be read, and signed")
}

// otherPatient is a ledger that has the study on another patient by now.
type otherPatient struct{ Ledger }

func (otherPatient) PatientOf(context.Context, dicom.UID) (ledger.Whose, error) {
	w := ledger.Whose{}
	w.ID, w.Name = "P2", "Other^Jane"
	return w, nil
}

// TestDesk_busy lets nobody wait for a draft longer than they want to.
func TestDesk_busy(t *testing.T) {
	r := newRoom(t)
	r.examined(0.9)
	unlock, err := r.lock(t.Context(), study)
	require.NoError(t, err)
	ctx, stop := context.WithCancelCause(t.Context())
	gone := errors.New("the client has gone")
	stop(gone)
	_, err = r.Sign(ctx, study, r.newest().Reference(), anna)
	require.ErrorIs(t, err, gone)
	unlock()
	_, err = r.Sign(t.Context(), study, r.newest().Reference(), anna)
	require.NoError(t, err)
}
