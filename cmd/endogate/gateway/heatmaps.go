package gateway

import (
	"context"
	"errors"
	"fmt"
	"image"
	"slices"

	"endogate/configs"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/ask"
	"endogate/inference/onnx"
	"endogate/reports/results"
)

// routeHeatmaps makes the heatmaps that routes name, in place of those that a model makes by itself.
type routeHeatmaps struct {
	wanted     map[string][]explain.Target // by route
	all        map[string][]explain.Target // by model: what any route wants of it, in one session
	bundles    map[string]*inference.Bundle
	explainers map[string]*onnx.Explainer // by model
}

// newRouteHeatmaps reads what the routes want. It compiles nothing: warmUp does.
func newRouteHeatmaps(routes []configs.Route, m *Models) (*routeHeatmaps, error) {
	h := &routeHeatmaps{wanted: map[string][]explain.Target{}, all: map[string][]explain.Target{}, bundles: map[string]*inference.Bundle{}, explainers: m.explainers}
	for _, b := range m.Bundles {
		h.bundles[b.Name] = b
	}
	for i, r := range routes {
		for k, wish := range r.Heatmaps {
			info, ok := explain.LookupMethod(explain.Method(wish.Method))
			key := fmt.Sprintf("routes[%d].heatmaps[%d].method", i, k)
			switch {
			case !ok || info.Raw:
				return nil, fmt.Errorf("%s: %q is unknown; there are %s", key, wish.Method, explain.MethodNames())
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

// Wanted implements results.Heatmaps.
func (h *routeHeatmaps) Wanted(route string) bool { return len(h.wanted[route]) > 0 }

// Make implements results.Heatmaps.
func (h *routeHeatmaps) Make(ctx context.Context, route, model, class string, frame *image.RGBA) (maps []results.Map, notes []string, err error) {
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
		explanation := analysis.Explanation{Method: string(a.Method), Layer: targets[i].Layer}
		shown, err := ask.OnFrame(a, geometry, in.Shape)
		if errors.Is(err, explain.ErrZeroMap) || errors.Is(err, explain.ErrNotFinite) {
			notes = append(notes, fmt.Sprintf("%s: %v", a.Method, err))
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		maps = append(maps, results.Map{Explain: explanation, Map: shown})
	}
	return maps, notes, nil
}
