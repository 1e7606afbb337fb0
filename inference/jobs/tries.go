package jobs

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
)

// maxUnheard bounds the tries that a worker remembers of a gateway; of more the oldest stay counted, as those of a worker that was killed.
const maxUnheard = 256

// unheard are tries that a worker has asked for, or whose end it has told, by their gateway, without hearing its answer. The gateway is told
// with the next question: nobody is at them, and they are no fault of their jobs.
type unheard struct {
	mu  sync.Mutex
	ids map[string][]string
}

func (u *unheard) add(node, try string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ids == nil {
		u.ids = map[string][]string{}
	}
	ids := append(u.ids[node], try)
	u.ids[node] = ids[max(len(ids)-maxUnheard, 0):]
}

func (u *unheard) of(node string) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.ids[node])
}

func (u *unheard) told(node string, ids []string) {
	if len(ids) == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ids[node] = slices.DeleteFunc(u.ids[node], func(id string) bool { return slices.Contains(ids, id) }); len(u.ids[node]) == 0 {
		delete(u.ids, node)
	}
}

// try is one that a worker elsewhere has asked for, until its end.
type try struct {
	job     Job
	object  string // the input in the bucket
	handed  bool   // Begin has counted it, and the worker was answered
	unheard bool   // the worker has given it up before it was answered
}

var errUnheard = errors.New("jobs: the worker has not heard the answer")

// trying takes note of a try before it is counted. A worker of an earlier release has no name for it.
func (w *owner) trying(asked question) {
	if asked.Try == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tries[asked.Try] = &try{job: asked.Job}
}

// handing says whether the worker still waits for the input.
func (w *owner) handing(id, object string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tries[id]
	if t == nil {
		return true
	}
	t.object, t.handed = object, true
	if t.unheard {
		delete(w.tries, id)
	}
	return !t.unheard
}

// tryEnded forgets a try.
func (w *owner) tryEnded(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.tries, id)
}

// triesEnded forgets the tries of a job that has a result, or is open no more.
func (w *owner) triesEnded(job string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.tries, func(_ string, t *try) bool { return t.job.ID == job })
}

// triedJobs are the jobs that tries are known of.
func (w *owner) triedJobs() map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	jobs := map[string]bool{}
	for _, t := range w.tries {
		jobs[t.job.ID] = true
	}
	return jobs
}

// takeBack has tries that nobody is at count no more. What this process knows nothing of stays as it is: it was never counted, was
// told of, or has ended.
func (w *owner) takeBack(ctx context.Context, ids []string) {
	for _, id := range ids {
		if t := w.given(id); t != nil {
			w.void(ctx, t.job, t.object)
		}
	}
}

// given returns a try that was handed to a worker, and forgets it; one that is about to be is marked.
func (w *owner) given(id string) *try {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tries[id]
	if t == nil {
		return nil
	}
	if t.unheard = true; !t.handed {
		return nil
	}
	delete(w.tries, id)
	return t
}

// void takes a try back, with its input. Its job's message is offered again by who did not hear.
func (w *owner) void(ctx context.Context, j Job, object string) {
	err := w.Failed(ctx, j, postpone{errUnheard})
	w.q.log.Warn("a try that no worker is at", "job", j.ID, "err", err)
	if object != "" {
		w.forget(ctx, j.ID, object)
	}
}
