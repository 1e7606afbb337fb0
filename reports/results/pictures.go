package results

import (
	"context"
	"image"
	"runtime"
	"slices"
	"sync"
)

// Pictures are frames that were decoded to prepare an input for a worker elsewhere, kept to draw on until its result is
// there. They are bounded, and whoever misses one decodes it again. Their methods may be called from any goroutine.
type Pictures struct {
	most     int // bytes
	decoding chan struct{}

	mu    sync.Mutex
	held  int                    // bytes
	kept  map[string]*image.RGBA // by job
	order []string               // jobs, oldest first
}

// NewPictures keeps pictures of so many bytes together.
func NewPictures(most int) *Pictures {
	return &Pictures{most: most, kept: map[string]*image.RGBA{}, decoding: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// decode has a frame decoded where not as many are as there are processors.
func (p *Pictures) decode(ctx context.Context, do func() error) error {
	select {
	case p.decoding <- struct{}{}:
		defer func() { <-p.decoding }()
		return do()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// keep keeps a picture in place of the job's former one; the oldest make room for it.
func (p *Pictures) keep(job string, picture *image.RGBA) {
	p.take(job)
	if len(picture.Pix) > p.most {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept[job], p.order = picture, append(p.order, job)
	for p.held += len(picture.Pix); p.held > p.most; {
		p.drop(p.order[0])
	}
}

// take returns the picture of a job and keeps it no longer; nil: there is none.
func (p *Pictures) take(job string) *image.RGBA {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	picture := p.kept[job]
	if picture != nil {
		p.drop(job)
	}
	return picture
}

func (p *Pictures) drop(job string) {
	p.held -= len(p.kept[job].Pix)
	delete(p.kept, job)
	p.order = slices.DeleteFunc(p.order, func(j string) bool { return j == job })
}
