package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"endogate/cmd/endogate/admin"
	"endogate/configs"
	"endogate/dicomnode/intake"
	"endogate/dicomnode/ledger"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/ask"
	"endogate/inference/jobs"
	"endogate/inference/onnx"
	"endogate/reports"
)

// Models are the configured bundles with their networks loaded, by the name of their manifest, and what the routes want
// of them.
type Models struct {
	Bundles []*inference.Bundle             // in the order of the configuration
	chosen  map[string]ledger.BundleVersion // those of them that a person has put in the place of the configured one, by name

	routes     []configs.Route             // with their models by the names of the manifests
	heatmaps   map[string][]explain.Target // wished, by route
	folders    map[string]string           // folder name to model name: routes may use either
	models     map[string]inference.Model
	algorithms map[string]reports.Algorithm
	loaded     map[string]*loadedModel
	sessions   caches
	loading    loading
}

// loadedModel is a bundle with what is loaded of it.
type loadedModel struct {
	bundle  *inference.Bundle
	wished  []explain.Target // by routes, in place of its own
	network inference.Opened
	closes  func() error // network; nil: it was not opened
	model   inference.Model
	wishes  *ask.Wishes // of routes
	live    *ask.Model  // for what somebody asks
}

// loading is how networks are loaded: those that were loaded otherwise are loaded anew.
type loading struct {
	runtime  configs.ONNXRuntime
	sessions int
}

// caches keep what is asked loaded: neither pushes out what the other holds.
type caches struct{ routes, live *onnx.Cache }

// OpenModels loads the models of a configuration with what persons have chosen in the place of some, tries each on a black frame, and finds those
// that its routes name.
func OpenModels(ctx context.Context, cfg configs.Config, choices ...ledger.BundleVersion) (*Models, error) {
	return openModels(ctx, cfg, choices, nil)
}

// openModels is OpenModels beside models that are loaded: what is the same is shared with them, and closed by whose closing comes last.
func openModels(ctx context.Context, cfg configs.Config, choices []ledger.BundleVersion, beside *Models) (*Models, error) {
	m, err := fromManifests(cfg, choices)
	if m == nil {
		return nil, err
	}
	if err := errors.Join(err, checkHeatmaps(cfg.Routes), m.checkUrgent(cfg.Urgent)); err != nil {
		return nil, err
	}
	m.loading = loading{cfg.ONNXRuntime, max(cfg.Jobs.Workers, 1)}
	if beside != nil && beside.loading == m.loading {
		m.sessions = beside.sessions
	} else {
		beside, m.sessions = nil, caches{onnx.NewCache(int64(cfg.ONNXRuntime.Cache)), onnx.NewCache(int64(cfg.ONNXRuntime.LiveCache))}
	}
	if len(m.Bundles) == 0 {
		return m, nil // a gateway that only forwards
	}
	runtime, err := onnx.OpenConfigured(cfg.ONNXRuntime.Library)
	if err != nil {
		return nil, err
	}
	wished := m.wishesOfRoutes()
	for i, b := range m.Bundles {
		l := beside.same(b, wished[b.Name])
		if l == nil {
			l, err = m.load(ctx, runtime, b, wished[b.Name])
		}
		if err == nil {
			m.loaded[b.Name] = l
			err = m.use(l, i+1)
		}
		if err != nil {
			return nil, errors.Join(err, m.closeBeside(beside))
		}
	}
	return m, nil
}

// same is what is loaded of just that bundle, for just these wishes; nil: nothing.
func (m *Models) same(b *inference.Bundle, wished []explain.Target) *loadedModel {
	if m == nil {
		return nil
	}
	l := m.loaded[b.Name]
	if l == nil || !slices.Equal(l.wished, wished) || !reflect.DeepEqual(l.bundle, b) {
		return nil
	}
	return l
}

// Bundles reads the bundles that a configuration names, but for their networks. All faults are named at once, where they stand.
func Bundles(models []configs.Model, choices ...ledger.BundleVersion) ([]*inference.Bundle, error) {
	all, _, err := bundles(models, choices)
	return all, err
}

// bundles is Bundles, and which of them were chosen.
func bundles(models []configs.Model, choices []ledger.BundleVersion) (bundles []*inference.Bundle, chosen map[string]ledger.BundleVersion, err error) {
	var errs []error
	named := map[string]string{}
	chosen = map[string]ledger.BundleVersion{}
	for i, m := range models {
		key := fmt.Sprintf("models[%d].dir", i)
		if m.Dir == "" {
			continue // the configuration has said so
		}
		if info, err := os.Stat(m.Dir); err != nil || !info.IsDir() {
			errs = append(errs, configs.Fault(key, "%q is no folder that can be read; name the one with model.onnx and model.yaml", m.Dir))
			continue
		}
		b, err := inference.LoadBundle(m.Dir)
		if err == nil {
			b, err = standsFor(b, choices, chosen)
		}
		switch {
		case err != nil:
			errs = append(errs, configs.Fault(key, "%v", err))
			continue
		case named[b.Name] != "":
			errs = append(errs, configs.Fault(key, "%s: the bundle in %s is called %s, too; give each its own name", m.Dir, named[b.Name], b.Name))
		}
		named[b.Name] = m.Dir
		bundles = append(bundles, b)
	}
	return bundles, chosen, errors.Join(errs...)
}

// load loads a bundle's network, and compiles what routes wish of it, so that a wrong layer is found at start and no frame waits.
func (m *Models) load(ctx context.Context, runtime *onnx.Runtime, bundle *inference.Bundle, wished []explain.Target) (_ *loadedModel, err error) {
	o := ask.Options{Threads: m.loading.runtime.Threads, Sessions: m.loading.sessions, Provider: m.loading.runtime.Provider, Cache: m.sessions.routes}
	l := &loadedModel{bundle: bundle, wished: wished, wishes: &ask.Wishes{Model: ask.New(runtime, bundle, o)}}
	o.Cache = m.sessions.live
	l.live = ask.New(runtime, bundle, o)
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if l.network, l.closes, err = openNetwork(ctx, l.wishes.Model, m.loading); err != nil {
		return nil, err
	}
	l.wishes.Own = l.network.How
	if l.model, err = inference.NewModel(ctx, bundle, l.network, l.wishes); err != nil {
		return nil, err
	}
	if err := l.wishes.Prepare(wished); err != nil {
		return nil, cmp.Or(whichWish(m.routes, bundle.Name, l.wishes), fmt.Errorf("heatmaps that routes name of model %s: %w", bundle.Name, err))
	}
	return l, nil
}

// Close waits for runs under way, and frees the model.
func (l *loadedModel) Close() error {
	errs := []error{l.wishes.Model.Close(), l.live.Close()}
	if l.closes != nil {
		errs = append(errs, l.closes())
	}
	return errors.Join(errs...)
}

// openNetwork opens the network of a model that is loaded so. Tests of this package open one for all their gateways.
var openNetwork = func(ctx context.Context, m *ask.Model, _ loading) (inference.Opened, func() error, error) {
	n, err := m.OpenNetwork(ctx)
	if err != nil {
		return inference.Opened{}, nil, err
	}
	return n.Opened, n.Close, nil
}

// use enters a model under its number among those of the configuration.
func (m *Models) use(l *loadedModel, number int) error {
	algorithm := reports.AlgorithmOf(l.bundle, number)
	algorithm.Explain = l.network.How
	m.models[l.bundle.Name], m.algorithms[l.bundle.Name] = l.model, algorithm
	return algorithm.Validate()
}

// Explained is how the findings of a model are explained, by its name.
func (m *Models) Explained(name string) analysis.Explanation { return m.algorithms[name].Explain }

// Close frees the networks. No worker may be running.
func (m *Models) Close() error { return m.closeBeside(nil) }

// closeBeside frees those networks that others do not have, too.
func (m *Models) closeBeside(others *Models) error {
	var errs []error
	for name, l := range m.loaded {
		if others == nil || others.loaded[name] != l {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// Live is the model that somebody's questions are put to while the gateway works.
func (m *Models) Live(name string) (*ask.Model, bool) {
	l, ok := m.loaded[name]
	if !ok {
		return nil, false
	}
	return l.live, true
}

func (m *Models) algorithm(name string) (reports.Algorithm, bool) {
	a, ok := m.algorithms[name]
	return a, ok
}

// CheckRoutes looks up the models of routes and of live signals in the manifests alone: no network is loaded.
func CheckRoutes(cfg configs.Config) error {
	_, err := checkRoutes(cfg, nil)
	return err
}

// checkRoutes is CheckRoutes with what was chosen, and the models without their networks.
func checkRoutes(cfg configs.Config, choices []ledger.BundleVersion) (*Models, error) {
	m, err := fromManifests(cfg, choices)
	if m == nil {
		return nil, err
	}
	return m, errors.Join(err, checkHeatmaps(cfg.Routes), m.checkUrgent(cfg.Urgent), m.checkLive(cfg.Live))
}

// checkLive is an error for each signal that is to be watched by none of the models.
func (m *Models) checkLive(signals []configs.Live) error {
	var errs []error
	for i, c := range signals {
		if bundleOf(m.Bundles, m.folders, c.Model) == nil {
			errs = append(errs, configs.Fault(fmt.Sprintf("live[%d].model", i), "%q is none of the models (%s)", c.Model, strings.Join(m.Names(), ", ")))
		}
	}
	return errors.Join(errs...)
}

// resolve returns the routes with their models by the names of the manifests.
func (m *Models) resolve(routes []configs.Route) ([]configs.Route, error) {
	resolved := slices.Clone(routes)
	var errs []error
	for i, route := range resolved {
		var names []string
		for _, name := range route.Models {
			if byFolder, ok := m.folders[name]; ok {
				name = byFolder
			}
			switch _, ok := m.models[name]; {
			case !ok:
				errs = append(errs, configs.Fault(fmt.Sprintf("routes[%d].models", i), "%q is none of the loaded models (%s)", name, cmp.Or(strings.Join(m.Names(), ", "), "none")))
			case slices.Contains(names, name):
				errs = append(errs, configs.Fault(fmt.Sprintf("routes[%d].models", i), "%q is there twice", name))
			}
			names = append(names, name)
		}
		resolved[i].Models = names
	}
	return resolved, errors.Join(append(errs, m.checkClasses(resolved))...)
}

// Names are those of the manifests.
func (m *Models) Names() []string {
	var names []string
	for _, b := range m.Bundles {
		names = append(names, b.Name)
	}
	return names
}

// queue is the model as jobs call it. One that is not configured any more has a queue that nobody works on.
func (m *Models) queue(name string) jobs.Model {
	if a, ok := m.algorithms[name]; ok {
		return jobs.Model{Name: name, Version: a.Model.Version, Digest: a.Model.Digest}
	}
	return jobs.Model{Name: name, Version: "none", Digest: "none"}
}

// prepares is how the input of a job is prepared here.
func (m *Models) prepares(j jobs.Job) string {
	if b := m.byName()[j.Model.Name]; b != nil && m.queue(j.Model.Name) == j.Model {
		return b.Preparation()
	}
	return ""
}

func (m *Models) byName() map[string]*inference.Bundle {
	all := map[string]*inference.Bundle{}
	for _, b := range m.Bundles {
		all[b.Name] = b
	}
	return all
}

// queues are those of all models.
func (m *Models) queues() (all []jobs.Model) {
	for _, name := range m.Names() {
		all = append(all, m.queue(name))
	}
	return all
}

// views are the models as the admin page shows them.
func (m *Models) views() []admin.Model {
	var all []admin.Model
	for _, b := range m.Bundles {
		all = append(all, admin.Model{
			Name: b.Name, Version: b.Version, Kind: string(b.Kind), Manufacturer: b.Manufacturer, IntendedUse: b.IntendedUse,
			Digest: b.Digest, Rows: b.Input.Rows, Columns: b.Input.Columns, Method: m.algorithms[b.Name].Explain.Method, Layer: m.algorithms[b.Name].Explain.Layer, Fallback: m.algorithms[b.Name].Explain.Fallback,
			Classes: b.Classes, Chosen: choiceView(m.chosen, b.Name),
		})
	}
	return all
}

// router leads instances to the routes of the configuration.
func (m *Models) router(cfg configs.Config) intake.Router {
	var router intake.Router
	for _, r := range m.routes {
		var pacs []string // images and what is made of them go nowhere else
		for _, d := range cfg.Of(configs.KindDICOM, r.Destinations) {
			pacs = append(pacs, d.Name)
		}
		router = append(router, intake.Route{
			Name: r.Name, Match: intake.Match(r.Match), Models: r.Models, Destinations: pacs, ForwardSource: r.ForwardSource,
			Gate: ledger.Gate(r.Gate),
		})
	}
	return router
}
