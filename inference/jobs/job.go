package jobs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
)

// Job is a reference to work. It says nothing of the instance but an ID that only its owner can make something of.
type Job struct {
	ID    string `json:"id"` // the same for the same spool entry and model
	Model Model  `json:"model"`
	Node  string `json:"node"` // that owns the job; set by Publish
	Lane  Lane   `json:"-"`    // where it waits: its owner's to say, and to change until it has begun
	Size  int64  `json:"-"`    // of what it is to be done on, in bytes: where many wait, fewer of large ones go ahead
}

// maxJob bounds a message; a job has some 300 bytes.
const maxJob = 8 << 10

const maxNameLength = 256

// Validate reports what is wrong with a job before it is published or done.
func (j Job) Validate() error {
	var errs []error
	for _, name := range []struct{ field, value string }{
		{"id", j.ID}, {"model name", j.Model.Name}, {"model version", j.Model.Version}, {"model digest", j.Model.Digest},
	} {
		switch {
		case name.value == "":
			errs = append(errs, fmt.Errorf("jobs: job: %s is missing", name.field))
		case len(name.value) > maxNameLength:
			errs = append(errs, fmt.Errorf("jobs: job: %s has %d bytes, at most %d are allowed", name.field, len(name.value), maxNameLength))
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
	if !safeToken.MatchString(j.Node) {
		return Job{}, errors.New("jobs: message is not a job: its node is no name")
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
