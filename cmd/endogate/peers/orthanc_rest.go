package peers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	_ "image/png" // what Orthanc renders
	"io"
	"net/http"
	"os"
	"sort"
	"testing"
)

// Series is a series as Orthanc's REST API shows it.
type Series struct {
	ID                string // Orthanc's own
	SeriesInstanceUID string
	Modality          string
	Description       string
	Instances         []Instance // by InstanceNumber, then SOP Instance UID
}

// Instance is an instance as Orthanc's REST API shows it.
type Instance struct {
	ID             string // Orthanc's own
	SOPInstanceUID string
	SOPClassUID    string
	number         string
}

// Studies returns the Study Instance UIDs of everything stored, in order.
func (o *Orthanc) Studies(t testing.TB) []string {
	t.Helper()
	var studies []struct{ MainDicomTags map[string]string }
	o.getJSON(t, "/studies?expand", &studies)
	var uids []string
	for _, study := range studies {
		uids = append(uids, study.MainDicomTags["StudyInstanceUID"])
	}
	sort.Strings(uids)
	return uids
}

// Series returns the series of a study in the order of their descriptions; none when it does not know the study.
func (o *Orthanc) Series(t testing.TB, studyInstanceUID string) []Series {
	t.Helper()
	id := o.lookup(t, "Study", studyInstanceUID)
	if id == "" {
		return nil
	}
	var found []struct {
		ID            string
		MainDicomTags map[string]string
	}
	o.getJSON(t, "/studies/"+id+"/series?expand", &found)
	var series []Series
	for _, f := range found {
		series = append(series, Series{
			ID:                f.ID,
			SeriesInstanceUID: f.MainDicomTags["SeriesInstanceUID"],
			Modality:          f.MainDicomTags["Modality"],
			Description:       f.MainDicomTags["SeriesDescription"],
			Instances:         o.instances(t, f.ID),
		})
	}
	sort.Slice(series, func(i, j int) bool {
		a, b := series[i], series[j]
		return a.Description+a.SeriesInstanceUID < b.Description+b.SeriesInstanceUID
	})
	return series
}

func (o *Orthanc) instances(t testing.TB, series string) []Instance {
	t.Helper()
	var found []struct {
		ID            string
		MainDicomTags map[string]string
	}
	o.getJSON(t, "/series/"+series+"/instances?expand", &found)
	var instances []Instance
	for _, f := range found {
		instances = append(instances, Instance{
			ID:             f.ID,
			SOPInstanceUID: f.MainDicomTags["SOPInstanceUID"],
			SOPClassUID:    string(o.get(t, "/instances/"+f.ID+"/metadata/SopClassUid", "")),
			number:         fmt.Sprintf("%12s", f.MainDicomTags["InstanceNumber"]),
		})
	}
	sort.Slice(instances, func(i, j int) bool {
		a, b := instances[i], instances[j]
		return a.number+a.SOPInstanceUID < b.number+b.SOPInstanceUID
	})
	return instances
}

// Count returns how many instances are stored.
func (o *Orthanc) Count(t testing.TB) int {
	t.Helper()
	var statistics struct{ CountInstances int }
	o.getJSON(t, "/statistics", &statistics)
	return statistics.CountInstances
}

// Tags returns the attributes of an instance by keyword: text, or a list of items for a sequence.
func (o *Orthanc) Tags(t testing.TB, instance string) map[string]any {
	t.Helper()
	var tags map[string]any
	o.getJSON(t, "/instances/"+instance+"/simplified-tags", &tags)
	return tags
}

// File returns an instance as the Part 10 file that Orthanc keeps.
func (o *Orthanc) File(t testing.TB, instance string) []byte {
	t.Helper()
	return o.get(t, "/instances/"+instance+"/file", "")
}

// Rendered returns the first frame of an instance as Orthanc draws it.
func (o *Orthanc) Rendered(t testing.TB, instance string) image.Image {
	t.Helper()
	picture, _, err := image.Decode(bytes.NewReader(o.get(t, "/instances/"+instance+"/rendered", "image/png")))
	if err != nil {
		t.Fatalf("peers: orthanc: rendered %s: %v", instance, err)
	}
	return picture
}

// Fetch has Orthanc, as a DICOMweb client, retrieve a study from a server of its configuration (DicomWeb.Servers).
func (o *Orthanc) Fetch(t testing.TB, server, studyInstanceUID string) {
	t.Helper()
	asked, err := json.Marshal(map[string]any{"Resources": []map[string]string{{"Study": studyInstanceUID}}, "Synchronous": true})
	if err != nil {
		t.Fatalf("peers: orthanc: fetch: %v", err)
	}
	o.do(t, http.MethodPost, "/dicom-web/servers/"+server+"/retrieve", "application/json", "", asked)
}

// Upload stores Part 10 files by HTTP, past the gateway.
func (o *Orthanc) Upload(t testing.TB, files ...string) {
	t.Helper()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("peers: orthanc: upload: %v", err)
		}
		o.do(t, http.MethodPost, "/instances", "application/dicom", "", text)
	}
}

// lookup returns Orthanc's id of the resource of a level with this UID, empty when there is none.
func (o *Orthanc) lookup(t testing.TB, level, uid string) string {
	t.Helper()
	var found []struct{ ID, Type string }
	answer := o.do(t, http.MethodPost, "/tools/lookup", "text/plain", "", []byte(uid))
	if err := json.Unmarshal(answer, &found); err != nil {
		t.Fatalf("peers: orthanc: lookup %s: %v", uid, err)
	}
	for _, f := range found {
		if f.Type == level {
			return f.ID
		}
	}
	return ""
}

func (o *Orthanc) getJSON(t testing.TB, path string, into any) {
	t.Helper()
	if err := json.Unmarshal(o.get(t, path, "application/json"), into); err != nil {
		t.Fatalf("peers: orthanc: GET %s: %v", path, err)
	}
}

func (o *Orthanc) get(t testing.TB, path, accept string) []byte {
	t.Helper()
	return o.do(t, http.MethodGet, path, "", accept, nil)
}

func (o *Orthanc) do(t testing.TB, method, path, contentType, accept string, body []byte) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, o.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatalf("peers: orthanc: %v", err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("peers: orthanc: %v", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("peers: orthanc: %s %s: %s, %v\n%s", method, path, res.Status, err, tail(string(answer)))
	}
	return answer
}
