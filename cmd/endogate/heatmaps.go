package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"slices"

	"endogate/configs"
	"endogate/explain"
	"endogate/explain/picture"
	"endogate/inference"
	"endogate/inference/onnx"
)

// routeHeatmaps makes the heatmaps that routes name, in place of those that a model makes by itself.
type routeHeatmaps struct {
	wanted     map[string][]explain.Target // by route
	all        map[string][]explain.Target // by model: what any route wants of it, in one session
	bundles    map[string]*inference.Bundle
	explainers map[string]*onnx.Explainer // by model
}

// classMap is a map as large as its frame, from 0 to 1, and what made it.
type classMap struct {
	Explain inference.Explanation
	Map     explain.Map
}

// newRouteHeatmaps reads what the routes want. It compiles nothing: warmUp does.
func newRouteHeatmaps(routes []configs.Route, m *models) (*routeHeatmaps, error) {
	h := &routeHeatmaps{wanted: map[string][]explain.Target{}, all: map[string][]explain.Target{}, bundles: map[string]*inference.Bundle{}, explainers: m.explainers}
	for _, b := range m.bundles {
		h.bundles[b.Name] = b
	}
	for i, r := range routes {
		for k, wish := range r.Heatmaps {
			info, ok := explain.LookupMethod(explain.Method(wish.Method))
			key := fmt.Sprintf("routes[%d].heatmaps[%d].method", i, k)
			switch {
			case !ok || info.Raw:
				return nil, fmt.Errorf("%s: %q is unknown; there are %s", key, wish.Method, methodNames())
			case info.Runs:
				return nil, fmt.Errorf("%s: %s runs the network up to a thousand times a frame and would hold up the queue; use it with endogate explain", key, wish.Method)
			}
			layer := wish.Layer
			if layer == explain.AllLayers || layer == explain.BlockLayers {
				return nil, fmt.Errorf("routes[%d].heatmaps[%d].layer: %q is several; write one entry for each layer", i, k, layer)
			}
			h.wanted[r.Name] = append(h.wanted[r.Name], explain.Target{Method: info.Method, Layer: layer})
		}
	}
	return h, h.warmUp(routes)
}

// warmUp compiles what each route wants of its models, so that a wrong layer is found at start and no frame waits.
func (h *routeHeatmaps) warmUp(routes []configs.Route) error {
	for _, r := range routes {
		if len(h.wanted[r.Name]) == 0 {
			continue
		}
		for _, model := range r.Models {
			for _, t := range h.wanted[r.Name] {
				if !slices.Contains(h.all[model], t) {
					h.all[model] = append(h.all[model], t)
				}
			}
		}
	}
	for _, r := range routes {
		if len(h.wanted[r.Name]) == 0 {
			continue
		}
		for _, model := range r.Models {
			if _, err := h.explainers[model].Prepare(h.all[model]); err != nil {
				return fmt.Errorf("route %s: heatmaps of model %s: %w", r.Name, model, err)
			}
		}
	}
	return nil
}

// of says what a route wants; nothing: the model's own heatmap.
func (h *routeHeatmaps) of(route string) []explain.Target {
	if h == nil {
		return nil
	}
	return h.wanted[route]
}

// make explains a finding by every method its route wants. Notes say of which there is nothing to show.
func (h *routeHeatmaps) make(ctx context.Context, route, model, class string, frame *image.RGBA) (maps []classMap, notes []string, err error) {
	b := h.bundles[model]
	values := make([]float32, b.Input.Len())
	geometry, err := b.Prepare(frame, values)
	if err != nil {
		return nil, nil, inference.Permanent(err)
	}
	seed := make([]float32, len(b.Classes))
	seed[slices.Index(b.ClassNames(), class)] = 1
	in := onnx.Input{Shape: b.Input.Shape(), Values: values, Baseline: b.Input.Uniform(0), Low: b.Input.Uniform(0), High: b.Input.Uniform(255)}
	targets := h.all[model]
	_, answers, err := h.explainers[model].Run(ctx, in, [][]float32{seed}, targets)
	if err != nil {
		return nil, nil, err
	}
	for i, a := range answers {
		if !slices.Contains(h.wanted[route], targets[i]) { // another route's
			continue
		}
		explanation := inference.Explanation{Method: string(a.Method), Layer: targets[i].Layer}
		shown, err := onFrame(geometry, in.Shape, a)
		if errors.Is(err, explain.ErrZeroMap) || errors.Is(err, explain.ErrNotFinite) {
			notes = append(notes, fmt.Sprintf("%s: %v", a.Method, err))
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		maps = append(maps, classMap{explanation, shown})
	}
	return maps, notes, nil
}

// onFrame is an attribution as a map of the source frame, 0 to 1: what speaks for the class.
func onFrame(g inference.Geometry, shape []int64, a onnx.Attribution) (explain.Map, error) {
	maps, err := a.Maps(shape)
	if err != nil {
		return explain.Map{}, err
	}
	m := maps[0]
	if _, err := m.Max(); err != nil {
		return explain.Map{}, err
	}
	if a.AtInput {
		m = picture.Clip(m)
	}
	return g.ToSource(m).Normalised()
}
