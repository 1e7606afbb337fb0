package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"endogate/configs"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pixeldata/video"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/ask"
	"endogate/reports"
	"endogate/reports/results"
)

// wishesOfRoutes are the heatmaps that routes want of each model in place of those that it makes by itself.
func (m *Models) wishesOfRoutes() map[string][]explain.Target {
	byModel := map[string][]explain.Target{}
	for _, r := range m.routes {
		for _, wish := range r.Heatmaps {
			m.heatmaps[r.Name] = append(m.heatmaps[r.Name], targetOf(wish))
		}
		for _, model := range r.Models {
			byModel[model] = append(byModel[model], m.heatmaps[r.Name]...)
		}
	}
	return byModel
}

// wanted are the wishes of each route.
func (m *Models) wanted() map[string]inference.Wishes {
	all := map[string]inference.Wishes{}
	for _, r := range m.routes {
		all[r.Name] = inference.Wishes{Heatmaps: m.heatmaps[r.Name], Classes: r.Explain}
	}
	return all
}

// clipForms are the SOP classes of clips.
var clipForms = map[configs.Clip]dicom.UID{
	configs.ClipMultiFrame:        dicom.MultiFrameTrueColorSecondaryCapture,
	configs.ClipVideoEndoscopic:   dicom.VideoEndoscopicImageStorage,
	configs.ClipVideoPhotographic: dicom.VideoPhotographicImageStorage,
}

// clipping are the clips that routes want of the frames around findings of videos.
func clipping(cfg configs.Config) map[string]results.Clips {
	all := map[string]results.Clips{}
	for _, r := range cfg.Routes {
		clips := results.Clips{Form: clipForms[r.Clip], Else: clipForms[r.ClipElse], By: map[string]dicom.UID{}}
		for _, d := range cfg.Destinations {
			if d.Clip != "" && clips.Form != "" {
				clips.By[d.Name] = clipForms[d.Clip]
			}
		}
		all[r.Name] = clips
	}
	return all
}

// encodes is an error where clips are wanted as videos, and there is no encoder.
func encodes(ctx context.Context, cfg configs.Config) error {
	if !cfg.EncodesClips() {
		return nil
	}
	return video.Encodes(ctx, cfg.FFmpeg)
}

// checkClasses holds the classes that routes want explained against those of their models.
func (m *Models) checkClasses(routes []configs.Route) error {
	var errs []error
	for i, r := range routes {
		var known []string
		for _, b := range m.Bundles {
			if slices.Contains(r.Models, b.Name) {
				known = append(known, b.ClassNames()...)
			}
		}
		for k, class := range r.Explain {
			if !slices.Contains(known, class) {
				errs = append(errs, configs.Fault(fmt.Sprintf("routes[%d].explain[%d]", i, k), "%q is no class of its models (%s)", class, strings.Join(known, ", ")))
			}
		}
	}
	return errors.Join(errs...)
}

func targetOf(h configs.Heatmap) explain.Target {
	return explain.Target{Method: explain.Method(h.Method), Layer: h.Layer}
}

// whichWish names those that a model cannot fulfil, one by one.
func whichWish(routes []configs.Route, model string, wishes *ask.Wishes) error {
	var errs []error
	for i, r := range routes {
		for k, h := range r.Heatmaps {
			if !slices.Contains(r.Models, model) {
				continue
			}
			switch err := wishes.Prepare([]explain.Target{targetOf(h)}); {
			case errors.Is(err, explain.ErrNoLayer):
				errs = append(errs, configs.Fault(fmt.Sprintf("routes[%d].heatmaps[%d].layer", i, k), "model %s: %v", model, err))
			case err != nil: // a route that demands a method gets no other in its place
				errs = append(errs, configs.Fault(fmt.Sprintf("routes[%d].heatmaps[%d].method", i, k),
					"model %s cannot be explained by %s: %v; without this entry its findings are explained as its manifest has it: %s", model, h.Method, err, reports.Explained(wishes.Own)))
			}
		}
	}
	return errors.Join(errs...)
}

// checkHeatmaps holds what routes wish against what there is, as far as that can be told without a network.
func checkHeatmaps(routes []configs.Route) error {
	var errs []error
	for i, r := range routes {
		for k, wish := range r.Heatmaps {
			fault := func(key, format string, args ...any) {
				errs = append(errs, configs.Fault(fmt.Sprintf("routes[%d].heatmaps[%d].%s", i, k, key), format, args...))
			}
			info, ok := explain.LookupMethod(explain.Method(wish.Method))
			switch {
			case wish.Method == "": // said already
			case !ok || info.Raw:
				fault("method", "%q is unknown; there are %s", wish.Method, explain.MethodNames())
			case info.Runs:
				fault("method", "%s runs the network up to a thousand times a frame and would hold up the queue; use it with endogate explain", wish.Method)
			}
			if wish.Layer == explain.AllLayers || wish.Layer == explain.BlockLayers {
				fault("layer", "%q is several; write one entry for each layer", wish.Layer)
			}
		}
	}
	return errors.Join(errs...)
}
