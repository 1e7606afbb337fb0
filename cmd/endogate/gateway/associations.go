package gateway

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"endogate/cmd/endogate/admin"
	"endogate/dicomnode"
	"endogate/dicomnode/dimse"
)

// What is remembered of associations: the last that were let in, and fewer of those that were not, so that a stranger who calls again
// and again takes nobody's place; of each the last steps.
const (
	mostAssociations = 200
	mostRejected     = 50
	mostSteps        = 500
)

// associations remembers what peers asked for, for who looks on. It is in memory alone.
type associations struct {
	mu  sync.Mutex
	all []*remembered // in the order in which they were asked for
}

type remembered struct {
	admin.AssociationLog
	rejected bool
}

// heard takes a step of an association.
func (a *associations) heard(e dicomnode.AssociationEvent) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, known := slices.BinarySearchFunc(a.all, e.Association, func(r *remembered, number uint64) int { return cmp.Compare(r.ID, number) })
	if !known {
		a.all = slices.Insert(a.all, at, &remembered{rejected: e.Ended == dicomnode.EndRejected, AssociationLog: admin.AssociationLog{
			Association: admin.Association{
				ID: e.Association, CallingAE: e.CallingAE, CalledAE: e.CalledAE, Remote: e.Remote, TLS: e.TLS, BeganAt: e.At.UTC(),
			},
			Contexts: []admin.NegotiatedContext{}, Steps: []admin.AssociationStep{},
		}})
		a.forget(a.all[at].rejected)
		at, known = slices.BinarySearchFunc(a.all, e.Association, func(r *remembered, number uint64) int { return cmp.Compare(r.ID, number) })
		if !known {
			return
		}
	}
	r := a.all[at]
	for _, pc := range e.Contexts {
		r.Contexts = append(r.Contexts, negotiated(pc))
		if pc.Result == dicomnode.ContextAccepted {
			r.Accepted++
		} else {
			r.Refused++
		}
	}
	switch {
	case e.Answered != nil:
		r.answered(e)
	case e.Ended != "":
		r.Ended, r.Reason, r.EndedAt = e.Ended, e.Reason, e.At.UTC()
	}
}

// forget leaves the last of a kind.
func (a *associations) forget(rejected bool) {
	most, n := mostAssociations, 0
	if rejected {
		most = mostRejected
	}
	for _, r := range a.all {
		if r.rejected == rejected {
			n++
		}
	}
	if n > most {
		oldest := slices.IndexFunc(a.all, func(r *remembered) bool { return r.rejected == rejected })
		a.all = slices.Delete(a.all, oldest, oldest+1)
	}
}

func negotiated(pc dicomnode.PresentationContext) admin.NegotiatedContext {
	out := admin.NegotiatedContext{ID: int(pc.ID), SOPClassUID: pc.AbstractSyntax, SOPClass: classNamed(pc.AbstractSyntax), Result: pc.Result.String()}
	if pc.Result == dicomnode.ContextAccepted {
		out.TransferSyntaxUID, out.TransferSyntax = pc.TransferSyntaxes[0], syntaxNamed(pc.TransferSyntaxes[0])
	}
	return out
}

func (r *remembered) answered(e dicomnode.AssociationEvent) {
	done := e.Answered
	r.Requests++
	r.Bytes += done.Bytes
	if class := done.Status.Class(); class != dimse.ClassSuccess && class != dimse.ClassWarning {
		r.Failed++
	}
	if len(r.Steps) == mostSteps {
		r.Steps = slices.Delete(r.Steps, 0, 1)
	}
	r.Steps = append(r.Steps, admin.AssociationStep{
		Number: r.Requests, At: e.At.UTC(), Command: done.Command, SOPClassUID: done.SOPClassUID, SOPClass: classNamed(done.SOPClassUID), SOPInstanceUID: done.SOPInstanceUID,
		TransferSyntax: syntaxNamed(done.TransferSyntaxUID), Status: fmt.Sprintf("%04X", uint16(done.Status)), Bytes: done.Bytes,
		Milliseconds: float64(done.Elapsed.Microseconds()) / 1000,
	})
}

// list returns what is remembered, the last first.
func (a *associations) list() []admin.Association {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]admin.Association, 0, len(a.all))
	for _, r := range slices.Backward(a.all) {
		all = append(all, r.Association)
	}
	return all
}

// log returns an association with its steps behind a number, false where it is not remembered.
func (a *associations) log(id uint64, after int) (admin.AssociationLog, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.all {
		if r.ID == id {
			out := r.AssociationLog
			out.Contexts = slices.Clone(r.Contexts)
			out.Steps = []admin.AssociationStep{}
			for _, step := range r.Steps {
				if step.Number > after {
					out.Steps = append(out.Steps, step)
				}
			}
			return out, true
		}
	}
	return admin.AssociationLog{}, false
}

// Associations implements admin.Operations.
func (o operations) Associations() []admin.Association { return o.heard.list() }

// AssociationLog implements admin.Operations.
func (o operations) AssociationLog(id uint64, after int) (admin.AssociationLog, error) {
	log, ok := o.heard.log(id, after)
	if !ok {
		return log, admin.ErrNotFound
	}
	return log, nil
}
