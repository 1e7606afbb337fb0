package jobs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"endogate/dicomnode/dicom"
)

// Job is a reference to work: run Model on the spool entry Entry. It holds no pixels and no patient data.
type Job struct {
	ID       string            `json:"id"` // the same for the same entry and model
	Entry    string            `json:"entry"`
	Instance dicom.SOPInstance `json:"instance"`
	Model    string            `json:"model"`
}

// maxJob bounds a message; a job has some 500 bytes.
const maxJob = 8 << 10

const maxNameLength = 256

// Validate reports what is wrong with a job before it is published or done.
func (j Job) Validate() error {
	var errs []error
	for _, name := range []struct{ field, value string }{{"id", j.ID}, {"entry", j.Entry}, {"model", j.Model}} {
		switch {
		case name.value == "":
			errs = append(errs, fmt.Errorf("jobs: job: %s is missing", name.field))
		case len(name.value) > maxNameLength:
			errs = append(errs, fmt.Errorf("jobs: job: %s has %d bytes, at most %d are allowed", name.field, len(name.value), maxNameLength))
		}
	}
	for _, uid := range []struct {
		field string
		value dicom.UID
	}{
		{"sop_class_uid", j.Instance.SOPClassUID},
		{"sop_instance_uid", j.Instance.SOPInstanceUID},
		{"series_instance_uid", j.Instance.SeriesInstanceUID},
		{"study_instance_uid", j.Instance.StudyInstanceUID},
	} {
		if !uid.value.Valid() {
			errs = append(errs, fmt.Errorf("jobs: job: %s is not a UID", uid.field))
		}
	}
	return errors.Join(errs...)
}

func (j Job) encode() ([]byte, error) {
	if err := j.Validate(); err != nil {
		return nil, err
	}
	return json.Marshal(j)
}

// decodeJob reads a message. Unknown fields are passed over: a newer gateway may have published it.
func decodeJob(message []byte) (Job, error) {
	if len(message) > maxJob {
		return Job{}, fmt.Errorf("jobs: message of %d bytes is larger than any job", len(message))
	}
	var j Job
	decoder := json.NewDecoder(bytes.NewReader(message))
	if err := decoder.Decode(&j); err != nil {
		return Job{}, fmt.Errorf("jobs: message is not a job: %w", err)
	}
	return j, j.Validate()
}

var safeToken = regexp.MustCompile(`^[A-Za-z0-9_-]{1,48}$`)

// token makes a NATS subject token, which also is a valid consumer name: the name itself
// where it can be one, and otherwise a hash that cannot be mistaken for a name.
func token(name string) string {
	if safeToken.MatchString(name) {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return "=" + hex.EncodeToString(sum[:16])
}
