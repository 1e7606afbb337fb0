package results

import (
	"context"
	"errors"
	"sync"

	"endogate/dicomnode/ledger"
	"endogate/inference"
)

// home is where videos are that are analysed in this process, each once at a time. A worker elsewhere that draws one is not kept waiting:
// it is begun here, and the worker is told to go on to something else; when its message comes round again, that goes as the video did.
type home struct {
	mu    sync.Mutex
	busy  map[string]bool  // jobs that are analysed
	over  map[string]error // jobs begun for a worker elsewhere that came to nothing, until they are asked about
	begun string           // the job that is under way for a worker elsewhere; "": none
	going sync.WaitGroup   // for it
}

// Why a job is for later.
var (
	errBusy  = errors.New("the video is being analysed")
	errNext  = errors.New("another video is analysed here before it")
	errBegun = errors.New("the video is analysed where it lies")
)

// enter has one at a time at a job; leave is called when it is done.
func (h *home) enter(id string) (leave func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.busy[id] {
		return nil, inference.Postponed(errBusy)
	}
	if h.busy == nil {
		h.busy = map[string]bool{}
	}
	h.busy[id] = true
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.busy, id)
	}, nil
}

// said is what there is to say of a job before a try of it is counted; nil: nothing.
func (h *home) said(id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.busy[id] || h.begun == id {
		return inference.Postponed(errBusy)
	}
	err := h.over[id]
	delete(h.over, id)
	return err
}

// begin takes the place of the one video that is done for workers elsewhere.
func (h *home) begin(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.begun != "" {
		return false
	}
	h.begun = id
	h.going.Add(1)
	return true
}

// maxOver bounds the jobs that nobody has asked about again; of those left out, the next try says the same.
const maxOver = 1000

func (h *home) end(id string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.begun = ""
	if h.over == nil || len(h.over) >= maxOver {
		h.over = map[string]error{}
	}
	if err != nil {
		h.over[id] = err
	}
	h.going.Done()
}

// watchAtHome begins a video that a worker elsewhere has drawn, whose try is counted: errBegun.
func (w *Workshop) watchAtHome(ctx context.Context, job ledger.Job) error {
	if !w.home.begin(job.ID) {
		return inference.Postponed(errNext)
	}
	go func() {
		err := inference.Guard(w.Log, job.ID, func() error { return w.analyse(ctx, job) })
		w.home.end(job.ID, w.verdict(ctx, job, err))
	}()
	return errBegun
}

// Wait returns when no video is under way that was begun for a worker elsewhere. They end with the context that they were begun under.
func (w *Workshop) Wait() { w.home.going.Wait() }
