package ask

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"endogate/inference"
	"endogate/inference/onnx"
)

// pair runs an encoder of frames and a head that looks across their embeddings, each as it was exported. A frame of several windows is encoded
// once. Its methods may be called from any goroutine.
type pair struct {
	bundle         *inference.Bundle
	encoder, looks *onnx.Plain

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
	if p.looks, err = m.runtime.OpenPlain(head, o); err != nil {
		return nil, errors.Join(fmt.Errorf("the head: %w", err), p.encoder.Close())
	}
	return p, nil
}

// Close frees both.
func (p *pair) Close() error { return errors.Join(p.encoder.Close(), p.looks.Close()) }

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
		embeddings, err := p.Encode(ctx, values)
		if err != nil {
			return nil, err
		}
		for i, t := range some {
			found[keys[t]] = embeddings[i]
			p.keep(keys[t], embeddings[i])
		}
	}
	window := make([][]float32, frames)
	for t := range frames {
		window[t] = found[keys[t]] // of a null frame there is none
	}
	return p.head(ctx, window)
}

// Encode gives the embeddings of frames, which lie one behind the other.
func (p *pair) Encode(ctx context.Context, frames []float32) ([][]float32, error) {
	n := len(frames) / p.bundle.Input.Len()
	out, err := p.encoder.Run(ctx, frames, p.bundle.Input.Shape(), n)
	if err != nil {
		return nil, err
	}
	one := len(out[0].Values) / n
	embeddings := make([][]float32, n)
	for i := range embeddings {
		embeddings[i] = out[0].Values[i*one : (i+1)*one : (i+1)*one]
	}
	return embeddings, nil
}

// Across gives the head's outputs for the embeddings of a clip, filled up as the manifest says.
func (p *pair) Across(ctx context.Context, window [][]float32) ([]onnx.Tensor, error) {
	window = slices.Clone(window)
	for n := len(window); len(window) < p.bundle.Clip.Frames; {
		fill := []float32(nil)
		if p.bundle.Clip.Pad == inference.LastFrame && n > 0 {
			fill = window[n-1]
		}
		window = append(window, fill)
	}
	return p.head(ctx, window)
}

// head runs it over a clip of embeddings; those of null frames are nil, and zero.
func (p *pair) head(ctx context.Context, window [][]float32) ([]onnx.Tensor, error) {
	width := 0
	for _, e := range window {
		width = max(width, len(e))
	}
	if width == 0 {
		return nil, errors.New("ask: a clip of null frames alone")
	}
	values := make([]float32, len(window)*width)
	for t, e := range window {
		copy(values[t*width:], e)
	}
	return p.looks.Run(ctx, values, []int64{1, int64(len(window)), int64(width)}, 1)
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
