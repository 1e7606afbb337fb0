package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// fullCodes are the server's codes for having no more room: of the account, of the machine, of memory, of the disk.
var fullCodes = []jetstream.ErrorCode{10002, 10023, 10028, 10047}

// isFull says that the server has no room: for a stream of the size that we want, or in it.
func isFull(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (slices.Contains(fullCodes, api.ErrorCode) || api.ErrorCode == streamStoreFailed && !standsAlready(err))
}

// isUnauthorised says that the server is there and does not let us in, or not there where we want to.
func isUnauthorised(err error) bool {
	return slices.ContainsFunc([]error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired, nats.ErrPermissionViolation},
		func(of error) bool { return errors.Is(err, of) })
}

// matter is an error that says what the matter is with the server.
type matter struct{ error }

func (m *matter) Unwrap() error { return errors.Unwrap(m.error) }

func said(format string, args ...any) error { return &matter{fmt.Errorf(format, args...)} }

// explained says of an error what the matter is with the server, where that is known: it is full, it does not know us, it
// does no JetStream, or there is none. Each needs another hand.
func (q *Queue) explained(err error) error {
	var already *matter
	switch {
	case err == nil || errors.As(err, &already):
		return err
	case isFull(err):
		return said("%s is full: jobs wait in the ledger; give JetStream more room (max_file_store, the account's limits) or free its disk (%w)", q.where(), err)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return said("%s has no JetStream that answers: enable it for the server and our account (%w)", q.where(), err)
	case q.srv != nil:
		return q.unanswered(err)
	case isUnauthorised(err), isUnauthorised(q.nc.LastError()):
		return q.unauthorised(err)
	case q.nc.IsConnected():
		return q.unanswered(err)
	}
	if why := q.turnedDown.Load(); why != nil && isUnauthorised(*why) {
		return q.unauthorised(err)
	}
	return said("no nats-server answers at %s, trying again; is it running, and is nats.url right? (%w)", q.url, err)
}

func (q *Queue) unauthorised(err error) error {
	return said("the nats-server at %s does not accept us, trying again; are nats.credentials_file and the certificates right, and may the account use our subjects? (%w)", q.url, err)
}

// unanswered says so of an error for which a server that is there gave no answer.
func (q *Queue) unanswered(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return said("%s gives no answer within %s, trying again: its disk may be slow or broken; see what nats-server logs (%w)", q.where(), callTimeout, err)
	}
	return err
}

func (q *Queue) where() string {
	if q.srv != nil {
		return "the job queue in this process"
	}
	return "the nats-server at " + q.url
}

// took notes whether the server takes jobs.
func (q *Queue) took(err error) {
	switch {
	case err == nil:
		q.refusal.Store(nil)
	case isFull(err), errors.Is(err, context.DeadlineExceeded):
		err = q.explained(err)
		q.refusal.Store(&err)
	}
}

// Refused returns nil, or why the server took no job when it was given one last: it is full, or has given no answer.
func (q *Queue) Refused() error {
	if err := q.refusal.Load(); err != nil {
		return *err
	}
	return nil
}
