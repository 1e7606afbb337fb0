package ask

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"

	"endogate/inference"
	"endogate/inference/onnx"
)

// pair runs an encoder of frames and a head that looks across their embeddings, each as it was exported. A frame of several windows is encoded
// once. Its methods may be called from any goroutine.
type pair struct {
	bundle        *inference.Bundle
	encoder, head *onnx.Plain

	mu    sync.Mutex
	known map[[sha256.Size]byte][]float32 // embeddings by the frame's values
	order [][sha256.Size]byte             // as they were made; the oldest is forgotten first
}

const (
	// mostEmbeddings is how many are kept: those of two windows that overlap, of as many examinations as workers are likely to have under way.
	mostEmbeddings = 1024
	// encodedAtOnce bounds the frames of one run of the encoder.
	encodedAtOnce = 8
)

// openPair loads both networks. The caller closes the pair.
func (m *Model) openPair() (*pair, error) {
	encoder, head, err := m.Bundle.Parts()
	if err != nil {
		return nil, err
	}
	p := &pair{bundle: m.Bundle, known: map[[sha256.Size]byte][]float32{}}
	o := onnx.NetworkOptions{IntraOpThreads: m.options.Threads, Sessions: m.options.Sessions, Provider: m.options.Provider}
	if p.encoder, err = m.runtime.OpenPlain(encoder, o); err != nil {
		return nil, fmt.Errorf("the encoder: %w", err)
	}
	o.Output = m.Bundle.Output.Name
	if p.head, err = m.runtime.OpenPlain(head, o); err != nil {
		return nil, errors.Join(fmt.Errorf("the head: %w", err), p.encoder.Close())
	}
	return p, nil
}

// Close frees both.
func (p *pair) Close() error { return errors.Join(p.encoder.Close(), p.head.Close()) }

// Run gives the head's outputs for a clip.
func (p *pair) Run(ctx context.Context, clip []float32) ([]onnx.Tensor, error) {
	frames, size := p.bundle.Clip.Frames, p.bundle.Input.Len()
	keys := make([][sha256.Size]byte, frames)
	found := map[[sha256.Size]byte][]float32{}
	var missing []int
	for t := range frames {
		frame := clip[t*size:][:size]
		if null(frame) {
			continue
		}
		keys[t] = digestOf(frame)
		if _, twice := found[keys[t]]; twice {
			continue
		}
		if found[keys[t]] = p.embedding(keys[t]); found[keys[t]] == nil {
			missing = append(missing, t)
		}
	}
	for len(missing) > 0 {
		some := missing[:min(len(missing), encodedAtOnce)]
		missing = missing[len(some):]
		var values []float32
		for _, t := range some {
			values = append(values, clip[t*size:][:size]...)
		}
		out, err := p.encoder.Run(ctx, values, p.bundle.Input.Shape(), len(some))
		if err != nil {
			return nil, err
		}
		one := len(out[0].Values) / len(some)
		for i, t := range some {
			found[keys[t]] = out[0].Values[i*one : (i+1)*one : (i+1)*one]
			p.keep(keys[t], found[keys[t]])
		}
	}
	width := 0
	for _, e := range found {
		width = len(e)
	}
	if width == 0 {
		return nil, errors.New("ask: a clip of null frames alone")
	}
	window := make([]float32, frames*width)
	for t := range frames {
		copy(window[t*width:], found[keys[t]]) // of a null frame there is none
	}
	return p.head.Run(ctx, window, []int64{1, int64(frames), int64(width)}, 1)
}

// null reports whether a frame is none: all of it is zero.
func null(frame []float32) bool {
	for _, v := range frame {
		if v != 0 {
			return false
		}
	}
	return true
}

func digestOf(frame []float32) [sha256.Size]byte {
	bytes := make([]byte, 0, 4*len(frame))
	for _, v := range frame {
		bytes = binary.LittleEndian.AppendUint32(bytes, math.Float32bits(v))
	}
	return sha256.Sum256(bytes)
}

func (p *pair) embedding(key [sha256.Size]byte) []float32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[key]
}

func (p *pair) keep(key [sha256.Size]byte, embedding []float32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known[key] != nil {
		return
	}
	if len(p.order) == mostEmbeddings {
		delete(p.known, p.order[0])
		p.order = p.order[1:]
	}
	p.known[key], p.order = embedding, append(p.order, key)
}
