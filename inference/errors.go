package inference

import "endogate/inference/jobs"

// taskError says of an error whether trying again may help, and whether the try counts.
type taskError struct {
	err         error
	disposition jobs.Disposition
}

func (e *taskError) Error() string   { return e.err.Error() }
func (e *taskError) Unwrap() error   { return e.err }
func (e *taskError) Temporary() bool { return e.disposition != jobs.Term }
func (e *taskError) Postponed() bool { return e.disposition == jobs.Postpone }

// Permanent marks an error that stays however often the job is tried: the job is parked at once.
func Permanent(err error) error { return marked(err, jobs.Term) }

// Postponed marks an error that is no fault of the job, such as a full disk or a stop of the process: the job is
// tried again until it goes well or fails by itself, and the try does not count.
func Postponed(err error) error { return marked(err, jobs.Postpone) }

// IsPostponed reports whether err is no fault of the job.
func IsPostponed(err error) bool { return jobs.DispositionOf(err) == jobs.Postpone }

func marked(err error, d jobs.Disposition) error {
	if err == nil {
		return nil
	}
	return &taskError{err, d}
}
