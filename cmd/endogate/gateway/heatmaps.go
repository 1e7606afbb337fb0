package gateway

import (
	"fmt"

	"endogate/configs"
	"endogate/explain"
	"endogate/inference/ask"
)

// wishesOf reads which heatmaps routes want in place of those that a model makes by itself, and compiles them, so that a
// wrong layer is found at start and no frame waits.
func wishesOf(routes []configs.Route, models map[string]*ask.Wishes) (map[string][]explain.Target, error) {
	byRoute, byModel := map[string][]explain.Target{}, map[string][]explain.Target{}
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
			byRoute[r.Name] = append(byRoute[r.Name], explain.Target{Method: info.Method, Layer: layer})
		}
		for _, model := range r.Models {
			byModel[model] = append(byModel[model], byRoute[r.Name]...)
		}
	}
	for model, targets := range byModel {
		if err := models[model].Prepare(targets); err != nil {
			return nil, fmt.Errorf("heatmaps that routes name of model %s: %w", model, err)
		}
	}
	return byRoute, nil
}
