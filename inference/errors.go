package inference

import (
	"math"

	"endogate/inference/jobs"
)

// taskError says of an error whether trying again may help.
type taskError struct {
	err       error
	temporary bool
}

func (e *taskError) Error() string   { return e.err.Error() }
func (e *taskError) Unwrap() error   { return e.err }
func (e *taskError) Temporary() bool { return e.temporary }

// Permanent marks an error that stays however often the job is tried: the job is parked at once.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &taskError{err: err}
}

// isPermanent asks the one place that decides.
func isPermanent(err error) bool {
	return jobs.DispositionOf(err, 1, math.MaxUint64) == jobs.Term
}
