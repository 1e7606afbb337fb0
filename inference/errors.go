package inference

import "errors"

// fault says of an error whether trying again may help, and whether the try counts. Whoever keeps the jobs decides what
// becomes of one.
type fault struct {
	err       error
	permanent bool
	postponed bool
	refused   bool
}

func (e *fault) Error() string   { return e.err.Error() }
func (e *fault) Unwrap() error   { return e.err }
func (e *fault) Temporary() bool { return !e.permanent }
func (e *fault) Postponed() bool { return e.postponed }
func (e *fault) Refused() bool   { return e.refused }

// Permanent marks an error that stays however often the job is tried: the job is parked at once.
func Permanent(err error) error { return marked(fault{err: err, permanent: true}) }

// Postponed marks an error that is no fault of the job, such as a full disk or a stop of the process: the job is
// tried again until it goes well or fails by itself, and the try does not count.
func Postponed(err error) error { return marked(fault{err: err, postponed: true}) }

// Refused marks what decided about a job because a result of it is of no use: the job is done anew, unless err is Permanent.
func Refused(err error) error {
	var f *fault
	if errors.As(err, &f) && f.permanent {
		return err
	}
	return marked(fault{err: err, refused: true})
}

// IsPostponed reports whether err is no fault of the job.
func IsPostponed(err error) bool {
	var p interface{ Postponed() bool }
	return errors.As(err, &p) && p.Postponed()
}

func marked(f fault) error {
	if f.err == nil {
		return nil
	}
	return &f
}
