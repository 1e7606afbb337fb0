package dicomweb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
)

// searching is a search under way.
type searching struct {
	*Server
	search
	ctx     context.Context
	base    string
	found   []json.RawMessage
	bytes   int // of found
	skipped int // of offset
	looked  int // data sets read
	rows    int
}

// errEnough ends a search that has found what was asked for, and one more.
var errEnough = errors.New("dicomweb: enough")

// begin reads what is asked for and makes the search; then its results are the answer. below are the levels below it.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, below [][]attribute, do func(*searching) error) error {
	media, err := acceptsJSON(r)
	if err != nil {
		return err
	}
	q, err := parseSearch(r)
	if err != nil {
		return err
	}
	q.drop(below)
	run := &searching{Server: s, search: q, ctx: r.Context(), base: s.base(r)}
	err = do(run)
	more := errors.Is(err, errEnough)
	if err != nil && !more {
		return err
	}
	h := w.Header()
	for _, text := range q.warnings {
		warn(h, text)
	}
	if more {
		warn(h, "There are more results than are returned: ask for the next ones with offset.")
	}
	h.Set("Cache-Control", "no-store")
	if len(run.found) == 0 {
		w.WriteHeader(http.StatusNoContent) // PS3.18 table 10.6.3-1
		return nil
	}
	body, err := json.Marshal(run.found)
	if err != nil {
		return err
	}
	h.Set("Content-Type", media)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, err = w.Write(body)
	return err
}

// take takes a result that matches; errEnough where it is one too many.
func (q *searching) take(r result) error {
	if q.skipped < q.offset {
		q.skipped++
		return nil
	}
	if len(q.found) == q.limit {
		return errEnough
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if len(q.found) > 0 && q.bytes+len(text) > maxFound {
		return errEnough
	}
	q.found, q.bytes = append(q.found, text), q.bytes+len(text)
	return nil
}

// row counts what is looked at.
func (q *searching) row() error {
	if q.rows++; q.rows > maxRows {
		return tooBroad()
	}
	return context.Cause(q.ctx)
}

func tooBroad() error {
	return &Fault{Code: http.StatusRequestEntityTooLarge, Why: "the search looks at more than is looked at in one", Next: "narrow it by dates, identifiers or UIDs"}
}

// read returns those attributes of an instance that wanted picks, false where it has gone meanwhile.
func (q *searching) read(i ledger.SpooledInstance, wanted func(dicom.Tag) bool) (result, bool, error) {
	if q.looked++; q.looked > maxLooked {
		return nil, false, tooBroad()
	}
	a, _, err := q.attributes(i)
	if errors.Is(err, spool.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	at := resource(q.base, i.SOPInstance)
	model := a.Only(wanted).AppendJSON(nil, func(path string) string { return at + "/bulkdata/" + path })
	decoder := json.NewDecoder(bytes.NewReader(model))
	decoder.UseNumber()
	r := result{}
	return r, true, decoder.Decode(&r)
}

// wants picks the attributes that a result of some levels has: theirs, the keys, and what includefield names. All is all of the
// level: of a study or series what an instance says of its patient besides.
func (q *searching) wants(levels ...[]attribute) func(dicom.Tag) bool {
	tags := map[dicom.Tag]bool{dicom.SpecificCharacterSet: true}
	for _, level := range levels {
		for _, a := range level {
			tags[a.tag] = true
		}
	}
	for _, k := range q.keys {
		tags[k.tag] = true
	}
	for _, t := range q.fields {
		tags[t] = true
	}
	ofInstance := len(levels) > 0 && &levels[0][0] == &instanceAttributes[0]
	return func(t dicom.Tag) bool { return tags[t] || q.search.all && (ofInstance || t.Group() == 0x0010) }
}

func anyTag(dicom.Tag) bool { return true }

// searchStudies answers GET /studies.
func (s *Server) searchStudies(w http.ResponseWriter, r *http.Request) error {
	return s.begin(w, r, [][]attribute{seriesAttributes, instanceAttributes}, func(q *searching) error {
		return q.eachStudy(func(row ledger.SpooledStudy) error {
			study, ok, err := q.study(row, nil)
			if err != nil || !ok || !study.matches(q.keys, anyTag) {
				return err
			}
			return q.take(study)
		})
	})
}

// inRow are the attributes that the row of a study has: what does not match there need not be read.
var inRow = []dicom.Tag{dicom.StudyInstanceUID, dicom.PatientID, dicom.PatientName, dicom.AccessionNumber, dicom.StudyDate, dicom.StudyTime, dicom.StudyDescription}

// eachStudy has the rows of the studies that may match, the newest first.
func (q *searching) eachStudy(do func(ledger.SpooledStudy) error) error {
	f := ledger.SpooledStudies{Patient: q.exact(dicom.PatientID), Accession: q.exact(dicom.AccessionNumber), UIDs: q.uids(dicom.StudyInstanceUID), Limit: 200}
	if date := q.pattern(dicom.StudyDate); len(date) >= 8 {
		if from, to, ranged := strings.Cut(date, "-"); ranged {
			f.From, f.To = from, to
		} else if len(date) == 8 {
			f.From, f.To = date, date
		}
	}
	for {
		page, err := q.Ledger.SpooledStudies(q.ctx, f)
		if err != nil {
			return err
		}
		for _, row := range page {
			if err := q.row(); err != nil {
				return err
			}
			known := result{}
			known.row(row)
			if !known.matches(q.keys, func(t dicom.Tag) bool { return slices.Contains(inRow, t) }) {
				continue
			}
			if err := do(row); err != nil {
				return err
			}
		}
		if len(page) < f.Limit {
			return nil
		}
		last := page[len(page)-1]
		f.After = ledger.Cursor{At: last.LastAt, ID: string(last.StudyInstanceUID)}
	}
}

// row sets what the ledger has of a study: the first that was said of it, whichever instance said it.
func (r result) row(s ledger.SpooledStudy) {
	text := func(t dicom.Tag, vr, v string) {
		if v, _ = dicom.Reading(v); v == "" {
			return
		}
		if vr == "PN" {
			r.set(t, vr, groups(v))
			return
		}
		r.set(t, vr, v)
	}
	r.set(dicom.StudyInstanceUID, "UI", string(s.StudyInstanceUID))
	text(dicom.PatientID, "LO", s.PatientID)
	text(dicom.PatientName, "PN", s.PatientName)
	text(dicom.AccessionNumber, "SH", s.AccessionNumber)
	text(dicom.StudyDate, "DA", s.StudyDate)
	text(dicom.StudyTime, "TM", s.StudyTime)
	text(dicom.StudyDescription, "LO", s.StudyDescription)
}

// groups are a name's, as the JSON model has them (PS3.18 F.2.2).
func groups(name string) map[string]any {
	all := map[string]any{}
	for i, group := range strings.SplitN(name, "=", 3) {
		if group != "" {
			all[[]string{"Alphabetic", "Ideographic", "Phonetic"}[i]] = group
		}
	}
	return all
}

// complete gives a result an element for each attribute of a level, of zero length where nothing is known (PS3.18 10.6.3.3).
func (r result) complete(levels ...[]attribute) {
	for _, level := range levels {
		for _, a := range level {
			if _, there := r[a.tag.Key()]; !there && a.tag != 0x00080201 && a.tag != 0x00400275 {
				r[a.tag.Key()] = element{VR: dicom.VROf(a.tag)}
			}
		}
	}
}

// study returns a study as results have it, without the keys of lower levels; false where nothing of it can be seen. series are
// those of it where they are known already.
func (q *searching) study(row ledger.SpooledStudy, series []ledger.SpooledSeries) (result, bool, error) {
	if series == nil {
		var err error
		if series, err = q.Ledger.SpooledSeries(q.ctx, row.StudyInstanceUID); err != nil {
			return nil, false, err
		}
	}
	study, count := result(nil), 0
	var modalities []any
	for _, one := range series {
		wanted := q.wants(studyAttributes)
		if study != nil {
			wanted = func(t dicom.Tag) bool { return t == dicom.Modality }
		}
		first, ok, err := q.read(one.First, func(t dicom.Tag) bool { return t == dicom.Modality || wanted(t) })
		if err != nil {
			return nil, false, err
		}
		if !ok {
			continue
		}
		for _, m := range first[dicom.Modality.Key()].Value {
			if !slices.Contains(modalities, m) {
				modalities = append(modalities, m)
			}
		}
		count += one.Instances
		if study == nil {
			study = first
			delete(study, dicom.Modality.Key())
		}
	}
	if study == nil {
		return nil, false, nil
	}
	study.row(row)
	study.complete(studyAttributes)
	study.set(modalitiesInStudy, "CS", modalities...)
	study.set(numberOfStudySeries, "IS", len(series))
	study.set(numberOfStudyInstances, "IS", count)
	study.set(instanceAvailability, "CS", "ONLINE")
	study.set(retrieveURL, "UR", q.base+"/studies/"+escapeUID(row.StudyInstanceUID))
	return study, true, nil
}

// searchSeries answers GET /series and GET /studies/{study}/series.
func (s *Server) searchSeries(w http.ResponseWriter, r *http.Request) error {
	f, err := scope(r)
	if err != nil {
		return err
	}
	if f.Study != "" {
		if _, err := s.sum(r.Context(), f); err != nil {
			return err
		}
	}
	return s.begin(w, r, [][]attribute{instanceAttributes}, func(q *searching) error {
		return q.eachSeries(f.Study, func(row ledger.SpooledStudy, one ledger.SpooledSeries, all []ledger.SpooledSeries) error {
			if uids := q.uids(dicom.SeriesInstanceUID); len(uids) > 0 && !slices.Contains(uids, one.First.SeriesInstanceUID) {
				return nil
			}
			levels := [][]attribute{seriesAttributes}
			if f.Study == "" {
				levels = append(levels, studyAttributes)
			}
			series, ok, err := q.read(one.First, q.wants(levels...))
			if err != nil || !ok {
				return err
			}
			series.complete(seriesAttributes)
			series.set(numberOfSeriesInstances, "IS", one.Instances)
			series.set(instanceAvailability, "CS", "ONLINE")
			if err := q.above(series, row, all, f.Study == ""); err != nil {
				return err
			}
			series.set(dicom.StudyInstanceUID, "UI", string(row.StudyInstanceUID))
			series.set(retrieveURL, "UR", q.base+"/studies/"+escapeUID(row.StudyInstanceUID)+"/series/"+escapeUID(one.First.SeriesInstanceUID))
			if !series.matches(q.keys, anyTag) {
				return nil
			}
			return q.take(series)
		})
	})
}

// above adds to a result of a lower level what its study has, where that is asked for.
func (q *searching) above(r result, row ledger.SpooledStudy, series []ledger.SpooledSeries, wanted bool) error {
	if !wanted {
		return nil
	}
	study, ok, err := q.study(row, series)
	if err != nil || !ok {
		return err
	}
	for _, a := range studyAttributes {
		r[a.tag.Key()] = study[a.tag.Key()]
	}
	return nil
}

// eachSeries has the series of a study, or of all that may match.
func (q *searching) eachSeries(study dicom.UID, do func(ledger.SpooledStudy, ledger.SpooledSeries, []ledger.SpooledSeries) error) error {
	of := func(row ledger.SpooledStudy) error {
		series, err := q.Ledger.SpooledSeries(q.ctx, row.StudyInstanceUID)
		if err != nil {
			return err
		}
		for _, one := range series {
			if err := q.row(); err != nil {
				return err
			}
			if err := do(row, one, series); err != nil {
				return err
			}
		}
		return nil
	}
	if study == "" {
		return q.eachStudy(of)
	}
	rows, err := q.Ledger.SpooledStudies(q.ctx, ledger.SpooledStudies{UIDs: []dicom.UID{study}, Limit: 1})
	if err != nil || len(rows) == 0 {
		return err
	}
	return of(rows[0])
}

// searchInstances answers GET /instances, GET /studies/{study}/instances and GET /studies/{study}/series/{series}/instances.
func (s *Server) searchInstances(w http.ResponseWriter, r *http.Request) error {
	f, err := scope(r)
	if err != nil {
		return err
	}
	if f.Study != "" {
		if _, err := s.sum(r.Context(), f); err != nil {
			return err
		}
	}
	return s.begin(w, r, nil, func(q *searching) error {
		levels := [][]attribute{instanceAttributes}
		if f.Series == "" {
			levels = append(levels, seriesAttributes)
		}
		if f.Study == "" {
			levels = append(levels, studyAttributes)
		}
		of := func(row ledger.SpooledStudy) error {
			return q.eachInstance(f, row, func(i ledger.SpooledInstance) error { return q.instance(i, row, levels) })
		}
		if f.Study == "" {
			return q.eachStudy(of)
		}
		rows, err := s.Ledger.SpooledStudies(q.ctx, ledger.SpooledStudies{UIDs: []dicom.UID{f.Study}, Limit: 1})
		if err != nil || len(rows) == 0 {
			return err
		}
		return of(rows[0])
	})
}

// eachInstance has the instances of a study, or of a series of it, that may match.
func (q *searching) eachInstance(f ledger.SpooledInstances, row ledger.SpooledStudy, do func(ledger.SpooledInstance) error) error {
	f.Study = row.StudyInstanceUID
	series, sops := q.uids(dicom.SeriesInstanceUID), q.uids(dicom.SOPInstanceUID)
	for i, err := range q.instances(q.ctx, f) {
		if err == nil {
			err = q.row()
		}
		if err != nil {
			return err
		}
		if len(series) > 0 && !slices.Contains(series, i.SeriesInstanceUID) || len(sops) > 0 && !slices.Contains(sops, i.SOPInstanceUID) {
			continue
		}
		if err := do(i); err != nil {
			return err
		}
	}
	return nil
}

func (q *searching) instance(i ledger.SpooledInstance, row ledger.SpooledStudy, levels [][]attribute) error {
	byUID := func(k key) bool {
		return k.tag == dicom.SeriesInstanceUID || k.tag == dicom.SOPInstanceUID || k.tag == dicom.StudyInstanceUID
	}
	if q.skipped < q.offset && !slices.ContainsFunc(q.keys, func(k key) bool { return !byUID(k) }) {
		q.skipped++ // nothing that it says decides
		return nil
	}
	one, ok, err := q.read(i, q.wants(levels...))
	if err != nil || !ok {
		return err
	}
	one.complete(levels...)
	if len(levels) == 3 {
		one.row(row)
	}
	for _, t := range []dicom.Tag{modalitiesInStudy, numberOfStudySeries, numberOfStudyInstances, numberOfSeriesInstances} {
		delete(one, t.Key())
	}
	one.set(dicom.StudyInstanceUID, "UI", string(i.StudyInstanceUID))
	one.set(dicom.SeriesInstanceUID, "UI", string(i.SeriesInstanceUID))
	one.set(dicom.SOPInstanceUID, "UI", string(i.SOPInstanceUID))
	one.set(availableTransferSyntax, "UI", string(i.TransferSyntaxUID))
	one.set(instanceAvailability, "CS", "ONLINE")
	one.set(retrieveURL, "UR", resource(q.base, i.SOPInstance))
	if !one.matches(q.keys, anyTag) {
		return nil
	}
	return q.take(one)
}
