package gateway

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/configs"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/intake"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/ledger/ledgertest"
	"endogate/dicomnode/spool"
	"endogate/inference/analysis"
	"endogate/reports/publish"
)

// folder is a data folder of a gateway that does not run.
type folder struct {
	t      *testing.T
	cfg    configs.Config
	spool  *spool.Spool
	ledger *ledger.Ledger
	n      int
}

func (f *folder) open() {
	f.t.Helper()
	var err error
	f.spool, err = openSpool(f.cfg, func() (_ uint64, err error) {
		f.ledger, err = ledgertest.Open(f.cfg.LedgerFile(), ledger.Open)
		require.NoError(f.t, err)
		return f.ledger.Newest(f.t.Context())
	})
	require.NoError(f.t, err)
	_, err = f.ledger.Keep(f.t.Context(), intake.Journal{Spool: f.spool, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	require.NoError(f.t, err)
}

func (f *folder) close() {
	f.t.Helper()
	require.NoError(f.t, f.ledger.Close())
	require.NoError(f.t, f.spool.Close())
}

func (f *folder) keep(e spool.Entry, data string) spool.Entry {
	f.t.Helper()
	w, err := f.spool.Create()
	require.NoError(f.t, err)
	_, err = w.Write([]byte(data))
	require.NoError(f.t, err)
	e.At = time.Now()
	e, err = w.Commit(e)
	require.NoError(f.t, err)
	return e
}

// patient has an order, an image, its analysis and a heatmap of a patient come, all of them with words of the patient, and
// the results go to pacs. What is left open is not delivered.
func (f *folder) patient(id string, open bool) {
	f.t.Helper()
	ctx := f.t.Context()
	f.n++
	study := dicom.UID(fmt.Sprintf("2.25.%d", f.n))
	text := "MSH|^~\\&|RIS|HOSP|||20260102||ORM^O01|" + fmt.Sprint("c", f.n) + "|P|2.5.1\rPID|1||" + id + "^^^HOSP||Name-" + id + "\r"
	m := f.keep(spool.Entry{Kind: spool.Message, Record: []byte(`{"protocol":"hl7"}`)}, text)
	_, err := f.ledger.TakeMessage(ctx, ledger.Inbound{
		Message: ledger.Message{Entry: m.ID, Application: "RIS", ControlID: fmt.Sprint("c", f.n), Digest: m.Digest, Type: "ORM^O01", At: time.Now(), Answer: ledger.Answer{Protocol: "hl7", Code: "AA"}},
		Orders:  []ledger.OrderChange{{Patch: []byte(`{"accession": "ACC-` + id + `", "patient": {"identifier": {"id": "` + id + `", "authority": "HOSP"}, "name": "Name-` + id + `"}}`)}},
	})
	require.NoError(f.t, err)
	in := f.image(id, study)
	h := in.Header
	made := h
	made.SOPInstanceUID = study + ".3"
	out := f.keep(spool.Entry{Kind: spool.Derived, Header: made, TransferSyntaxUID: dicom.ExplicitVRLittleEndian}, strings.Repeat("heatmap of "+id, 200_000))
	job := ledger.JobID(in.ID, "m")
	require.NoError(f.t, f.ledger.FinishJob(ctx, job, analysis.Model{Name: "m"}, nil, []ledger.Object{{
		Entry: out.ID, Digest: out.Digest, Instance: made.SOPInstance, Purpose: "heatmap", Model: "m", Source: h.SOPInstanceUID, Destinations: []string{"pacs"},
	}}, time.Now()))
	exams, err := f.ledger.DueExams(ctx, time.Now().Add(time.Hour), 0, 0)
	require.NoError(f.t, err)
	for _, e := range exams {
		require.NoError(f.t, f.ledger.FinishReport(ctx, e, nil, time.Now()))
	}
	if !open {
		f.drafts(id, study)
	}
	due, err := f.ledger.DueDeliveries(ctx, "pacs", time.Now().Add(time.Hour), 365*24*time.Hour, 100)
	require.NoError(f.t, err)
	for _, d := range due {
		if !open && d.Entry == out.ID {
			require.NoError(f.t, f.ledger.Delivered(ctx, d.ID, d.Entry, ledger.Answer{Protocol: "dicom", Code: "0000"}, time.Now()))
		}
	}
}

// image has an image of a patient come.
func (f *folder) image(id string, study dicom.UID) spool.Entry {
	f.t.Helper()
	h := dicom.Header{
		SOPInstance: dicom.SOPInstance{SOPClassUID: dicom.VLEndoscopicImageStorage, SOPInstanceUID: study + ".1", SeriesInstanceUID: study + ".2", StudyInstanceUID: study},
		PatientID:   id, PatientName: "Name-" + id, AccessionNumber: "ACC-" + id,
	}
	in := f.keep(spool.Entry{Kind: spool.Received, Header: h, TransferSyntaxUID: dicom.ExplicitVRLittleEndian}, "pixels of "+id)
	_, err := f.ledger.Receive(f.t.Context(), []ledger.Receipt{{
		ID: in.ID, Seq: in.Seq, Header: h, TransferSyntaxUID: in.TransferSyntaxUID, At: in.At, Size: in.Size, Digest: in.Digest,
		Route: "endoscopy", Models: []string{"m"}, Destinations: []string{"pacs"},
	}}, in.Seq)
	require.NoError(f.t, err)
	return in
}

// drafts has a draft made, and sent, and signed before that has left: one message to each receiver is superseded, one delivered.
func (f *folder) drafts(id string, study dicom.UID) {
	f.t.Helper()
	ctx := f.t.Context()
	for version := 1; version <= 2; version++ {
		d := ledger.Draft{Study: study, Number: 1, Version: version, Event: ledger.DraftSigned, Standing: "signed", Author: "Dr. Test", At: time.Now()}
		d.Document = fmt.Appendf(nil, `{"patient": {"ID": "%s", "Issuer": "HOSP", "Name": "Name-%[1]s"}, "accession": "ACC-%[1]s"}`, id)
		var out []ledger.Outgoing
		for _, to := range []struct{ kind, name, text string }{
			{ledger.KindHL7, "ris", "MSH|^~\\&|ENDOGATE|HOSP|||20260102||ORU^R01|%s|P|2.5.1\rPID|1||%[2]s^^^HOSP||Name-%[2]s\rOBR|1|ACC-%[2]s\r"},
			{ledger.KindFHIR, "emr", `{"resourceType": "Bundle", "id": "%s", "entry": [{"resource": {"identifier": [{"value": "%[2]s"}], "name": "Name-%[2]s", "accession": "ACC-%[2]s"}}]}`},
		} {
			m := f.keep(spool.Entry{Kind: spool.Message, Record: publish.Record(study, to.kind, to.name)}, fmt.Sprintf(to.text, fmt.Sprint(version), id))
			out = append(out, ledger.Outgoing{Kind: to.kind, Entry: m.ID, Digest: m.Digest, Purpose: "oru", Destination: to.name})
		}
		require.NoError(f.t, f.ledger.PutDraft(ctx, d, nil, out))
	}
	for _, name := range []string{"ris", "emr"} {
		due, err := f.ledger.DueDeliveries(ctx, name, time.Now().Add(time.Hour), 365*24*time.Hour, 100)
		require.NoError(f.t, err)
		require.Len(f.t, due, 1)
		require.NoError(f.t, f.ledger.Delivered(ctx, due[0].ID, due[0].Entry, ledger.Answer{Protocol: "hl7", Code: "AA"}, time.Now()))
	}
}

// has says which files of the folder have the words.
func (f *folder) has(words string) (files []string) {
	f.t.Helper()
	require.NoError(f.t, filepath.WalkDir(f.cfg.DataDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(words)) {
			files = append(files, path)
		}
		return err
	}))
	return files
}

func (f *folder) studies() map[dicom.UID]ledger.Study {
	f.t.Helper()
	page, _, err := f.ledger.Studies(f.t.Context(), ledger.StudyFilter{})
	require.NoError(f.t, err)
	all := map[dicom.UID]ledger.Study{}
	for _, s := range page {
		all[s.StudyInstanceUID] = s
	}
	return all
}

// TestErasePatient leaves no byte of a patient in the data folder, also after a rebuild, and all of the others; and of one
// whose results are not delivered it leaves all.
func TestErasePatient(t *testing.T) {
	ctx, log := t.Context(), slog.New(slog.DiscardHandler)
	cfg := configs.Default()
	cfg.DataDir, cfg.Spool.Reserve = t.TempDir(), 0
	f := &folder{t: t, cfg: cfg}
	f.open()
	f.patient("PATIENT-A", false)
	f.patient("PATIENT-B", false)
	f.patient("PATIENT-D", true)
	merged := f.keep(spool.Entry{Kind: spool.Message, Record: []byte(`{"protocol":"hl7"}`)}, "MSH|^~\\&|RIS|HOSP|||20260102||ADT^A40|m|P|2.5.1\rPID|1||PATIENT-C^^^HOSP\rMRG|PATIENT-A^^^HOSP\r")
	_, err := f.ledger.TakeMessage(ctx, ledger.Inbound{
		Message: ledger.Message{Entry: merged.ID, Application: "RIS", ControlID: "m", Digest: merged.Digest, Type: "ADT^A40", At: time.Now(), Answer: ledger.Answer{Protocol: "hl7", Code: "AA"}},
		Patients: []ledger.PatientChange{{
			Person: ledger.Person{Identifier: ledger.Identifier{ID: "PATIENT-C", Authority: "HOSP"}}, Prior: []ledger.Identifier{{ID: "PATIENT-A", Authority: "HOSP"}},
		}},
	})
	require.NoError(t, err)

	a := ledger.Identifier{ID: "PATIENT-A"}
	_, err = ErasePatient(ctx, cfg, a, true, ledger.Actor{}, log)
	require.ErrorIs(t, err, spool.ErrLocked, "the gateway runs")
	f.close()

	plan, err := ErasePatient(ctx, cfg, a, true, ledger.Actor{}, log)
	require.NoError(t, err)
	require.NotEmpty(t, f.has("PATIENT-A"), "a dry run removes nothing")
	done, err := ErasePatient(ctx, cfg, a, false, ledger.Actor{Kind: ledger.ActorPerson}, log)
	require.NoError(t, err)
	require.Equal(t, plan, done)
	require.Equal(t, []dicom.UID{"2.25.1"}, done.Studies)
	require.Equal(t, map[string]int{"pacs": 1, "ris": 1, "emr": 1}, done.Delivered)
	require.Len(t, done.Identifiers, 2, "and the one it was merged into")
	require.Equal(t, []int{1, 1, 1, 6}, []int{done.Instances, done.Objects, done.Orders, done.Messages})

	none := func() {
		for _, words := range []string{"PATIENT-A", "PATIENT-C"} { // ID, name and accession number
			require.Empty(t, f.has(words))
		}
	}
	none()
	require.NotEmpty(t, f.has("heatmap of PATIENT-B"))
	f.open()
	require.Equal(t, "PATIENT-B", f.studies()["2.25.2"].PatientID)
	require.NotContains(t, f.studies(), dicom.UID("2.25.1"))
	before := f.studies()
	f.close()

	for range 2 { // of the checkpoint, and of the checkpoint with what came after it
		_, err = RebuildLedger(ctx, cfg, log)
		require.NoError(t, err)
		none()
		f.open()
		require.Equal(t, before, f.studies())
		f.patient(fmt.Sprint("PATIENT-E", f.n), false)
		before = f.studies()
		f.close()
	}

	kept, err := ErasePatient(ctx, cfg, ledger.Identifier{ID: "PATIENT-D"}, false, ledger.Actor{}, log)
	require.NoError(t, err)
	require.Len(t, kept.Kept, 1)
	require.Contains(t, kept.Kept[0].Why, "let them end")
	require.NotEmpty(t, kept.Left, "ledgers that were put aside")
	require.NotEmpty(t, f.has("heatmap of PATIENT-D"))
	for _, dry := range []bool{true, false} {
		_, err = ErasePatient(ctx, cfg, a, dry, ledger.Actor{}, log)
		require.ErrorIs(t, err, ledger.ErrNoPatient)
	}
}

// TestErasePatient_refused removes what was kept of a patient though nothing was made of it: an instance that the ledger did
// not take in, a message that was answered with a fault; and it says what names nobody.
func TestErasePatient_refused(t *testing.T) {
	ctx, log := t.Context(), slog.New(slog.DiscardHandler)
	cfg := configs.Default()
	cfg.DataDir, cfg.Spool.Reserve = t.TempDir(), 0
	f := &folder{t: t, cfg: cfg}
	f.open()
	f.patient("PATIENT-B", false)
	instance := func(id, data string) {
		h := dicom.Header{
			SOPInstance: dicom.SOPInstance{SOPClassUID: dicom.VLEndoscopicImageStorage, SOPInstanceUID: "2.25.77.1", SeriesInstanceUID: "2.25.77.2", StudyInstanceUID: "2.25.77"},
			PatientID:   id,
		}
		if id == "" {
			h = dicom.Header{SOPInstance: dicom.SOPInstance{SOPClassUID: dicom.VLEndoscopicImageStorage, SOPInstanceUID: "2.25.78.1"}}
		}
		e := f.keep(spool.Entry{Kind: spool.Received, Header: h, TransferSyntaxUID: dicom.ExplicitVRLittleEndian}, data)
		require.NoError(t, f.ledger.Refuse(ctx, []string{e.ID}, "a fault", e.Seq, time.Now()))
	}
	message := func(control, pid string) {
		text := "MSH|^~\\&|RIS|HOSP|||20260102||ORM^O01|" + control + "|P|2.5.1\rPID|1" + pid + "\rORC|QQ\r"
		e := f.keep(spool.Entry{Kind: spool.Message, Record: []byte(`{"protocol":"hl7"}`)}, text)
		_, err := f.ledger.TakeMessage(ctx, ledger.Inbound{Message: ledger.Message{
			Entry: e.ID, Application: "RIS", ControlID: control, Digest: e.Digest, Type: "ORM^O01", At: time.Now(), Answer: ledger.Answer{Protocol: "hl7", Code: "AE", Text: "103 ORC-1: unknown"},
		}})
		require.NoError(t, err)
	}
	instance("PATIENT-A", "pixels of PATIENT-A")
	instance("PATIENT-B", "more pixels of PATIENT-B")
	instance("", "pixels of nobody")
	message("r1", "||PATIENT-A^^^HOSP||Name-PATIENT-A")
	message("r2", "|PATIENT-A") // as version 2.1 has it
	message("r3", "||||Somebody")
	f.close()

	f.open()
	logs, err := filepath.Glob(filepath.Join(f.cfg.SpoolDir(), "log", "*.log"))
	require.NoError(t, err)
	require.Len(t, logs, 1)
	require.NoError(t, os.Rename(logs[0], logs[0]+".aside"))
	require.NoError(t, os.Mkdir(logs[0], 0o700)) // which opens, and gives an error when it is read
	_, _, err = naming(f.spool, nil, nil, nil)
	require.ErrorContains(t, err, "nothing is erased", "what the disk does not give may name the patient")
	require.NoError(t, os.Remove(logs[0]))
	require.NoError(t, os.Rename(logs[0]+".aside", logs[0]))
	f.close()
	a := ledger.Identifier{ID: "PATIENT-A"}
	plan, err := ErasePatient(ctx, cfg, a, true, ledger.Actor{}, log)
	require.NoError(t, err)
	require.Equal(t, []int{3, 2}, []int{plan.Messages, plan.Nameless})
	done, err := ErasePatient(ctx, cfg, a, false, ledger.Actor{Kind: ledger.ActorPerson}, log)
	require.NoError(t, err)
	require.Equal(t, plan, done)
	require.Empty(t, f.has("PATIENT-A"))
	require.NotEmpty(t, f.has("more pixels of PATIENT-B"))
	require.NotEmpty(t, f.has("pixels of nobody"))
	_, err = RebuildLedger(ctx, cfg, log)
	require.NoError(t, err)
	require.Empty(t, f.has("PATIENT-A"))
}

// TestErasePatient_endsInBetween goes on where the process ended after the ledger had forgotten a patient.
func TestErasePatient_endsInBetween(t *testing.T) {
	ctx, log := t.Context(), slog.New(slog.DiscardHandler)
	cfg := configs.Default()
	cfg.DataDir, cfg.Spool.Reserve = t.TempDir(), 0
	f := &folder{t: t, cfg: cfg}
	f.open()
	f.patient("PATIENT-A", false)
	a := ledger.Identifier{ID: "PATIENT-A"}
	_, err := f.ledger.ErasePatient(ctx, a, nil, time.Now())
	require.NoError(t, err)
	f.close()
	require.NotEmpty(t, f.has("PATIENT-A"))
	_, err = ErasePatient(ctx, cfg, a, false, ledger.Actor{}, log)
	require.NoError(t, err)
	require.Empty(t, f.has("PATIENT-A"))
}
