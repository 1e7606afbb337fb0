package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/pixeldata/video"
)

// clips keeps the videos open of which frames were asked last: whoever looks at one asks for several, and to open one is to copy
// it. Its methods may be called from any goroutine.
type clips struct {
	mu   sync.Mutex
	open map[string]*keptClip // by spool entry
}

// keptClip is closed by the last who has it.
type keptClip struct {
	ready sync.Once
	clip  *video.Clip
	err   error
	users int // who look at it, and the one that keeps it
	idle  *time.Timer
}

const (
	mostClips = 2
	clipIdle  = time.Minute
	// clipOpened is how long a video may take to be copied and looked through.
	clipOpened = 2 * time.Minute
)

var errNotOpened = errors.New("the video was not opened, the log says why")

// frame decodes a frame of an instance, which is that of the entry.
func (c *clips) frame(ctx context.Context, entry string, i *pixeldata.Instance, frame int) (f pixeldata.Frame, err error) {
	if !i.Video() {
		return i.Frame(ctx, frame)
	}
	err = c.video(ctx, entry, i, func(clip *video.Clip) error {
		f, err = clip.Frame(ctx, frame)
		return err
	})
	return f, err
}

// frames decodes frames of the video of an entry, whose numbers rise, and hands them over as [video.Clip.Frames] does.
func (c *clips) frames(ctx context.Context, entry string, i *pixeldata.Instance, numbers []int, take func(pixeldata.Frame, error) error) error {
	return c.video(ctx, entry, i, func(clip *video.Clip) error {
		for f, err := range clip.Frames(ctx, numbers) {
			if err := take(f, err); err != nil {
				return err
			}
		}
		return nil
	})
}

// video has do look at the video of an entry, whose instance i is.
func (c *clips) video(ctx context.Context, entry string, i *pixeldata.Instance, do func(*video.Clip) error) error {
	return c.of(entry, func() (*video.Clip, error) {
		// Others wait for it who go on where this one gives up.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clipOpened)
		defer cancel()
		return video.Open(ctx, i)
	}, do)
}

// of has do look at the video of an entry, which open opens where it is not.
func (c *clips) of(entry string, open func() (*video.Clip, error), do func(*video.Clip) error) error {
	k := c.take(entry)
	defer c.leave(k)
	k.ready.Do(func() {
		k.err = errNotOpened // where open panics, too
		k.clip, k.err = open()
	})
	if k.err != nil {
		c.forget(entry, k)
		return k.err
	}
	return do(k.clip)
}

func (c *clips) take(entry string) *keptClip {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.open[entry]
	if k == nil {
		for other, old := range c.open {
			if len(c.open) >= mostClips {
				c.drop(other, old)
			}
		}
		k = &keptClip{users: 1}
		if c.open == nil {
			c.open = map[string]*keptClip{}
		}
		c.open[entry] = k
		k.idle = time.AfterFunc(clipIdle, func() { c.forget(entry, k) })
	}
	k.idle.Reset(clipIdle)
	k.users++
	return k
}

func (c *clips) forget(entry string, k *keptClip) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(entry, k)
}

// drop keeps a video no longer.
func (c *clips) drop(entry string, k *keptClip) {
	if c.open[entry] == k {
		delete(c.open, entry)
		c.close(k)
	}
}

func (c *clips) leave(k *keptClip) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.close(k)
}

func (c *clips) close(k *keptClip) {
	if k.users--; k.users == 0 && k.clip != nil {
		_ = k.clip.Close() // it is only read
	}
}
