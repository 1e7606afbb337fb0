package inference

import "errors"

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

// isPermanent reports whether Permanent marked err. Errors of the operating system have a Temporary
// method too, with another meaning: a full disk says false.
func isPermanent(err error) bool {
	var e *taskError
	return errors.As(err, &e) && !e.temporary
}
