package gateway

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
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
	Bundles []*inference.Bundle // in the order of the configuration

	routes     []configs.Route             // with their models by the names of the manifests
	heatmaps   map[string][]explain.Target // wished, by route
	folders    map[string]string           // folder name to model name: routes may use either
	models     map[string]inference.Model
	algorithms map[string]reports.Algorithm
	networks   []*ask.Opened
	wishes     map[string]*ask.Wishes // of routes, by model
	live       map[string]*ask.Model  // for what somebody asks
	sessions   caches
}

// caches keep what is asked loaded: neither pushes out what the other holds.
type caches struct{ routes, live *onnx.Cache }

// OpenModels loads the models of a configuration, tries each on a black frame, and finds those that its routes name.
func OpenModels(ctx context.Context, cfg configs.Config) (*Models, error) {
	m, err := loadModels(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if m.routes, err = m.resolve(cfg.Routes); err == nil {
		m.heatmaps, err = wishesOf(m.routes, m.wishes)
	}
	err = errors.Join(err, m.checkUrgent(cfg.Urgent))
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func loadModels(ctx context.Context, cfg configs.Config) (*Models, error) {
	m := &Models{
		folders: map[string]string{}, models: map[string]inference.Model{}, algorithms: map[string]reports.Algorithm{},
		wishes: map[string]*ask.Wishes{}, live: map[string]*ask.Model{},
		sessions: caches{onnx.NewCache(int64(cfg.ONNXRuntime.Cache)), onnx.NewCache(int64(cfg.ONNXRuntime.LiveCache))},
	}
	if len(cfg.Models) == 0 {
		return m, nil // a gateway that only forwards
	}
	runtime, err := onnx.OpenConfigured(cfg.ONNXRuntime.Library)
	if err != nil {
		return nil, err
	}
	bundles, err := Bundles(cfg.Models)
	if err != nil {
		return nil, err
	}
	for _, b := range bundles {
		if err := m.add(ctx, runtime, b, cfg); err != nil {
			return nil, errors.Join(err, m.Close())
		}
	}
	return m, nil
}

// Bundles reads the bundles that a configuration names, but for their networks. All faults are named at once, where they stand.
func Bundles(models []configs.Model) (bundles []*inference.Bundle, err error) {
	var errs []error
	named := map[string]string{}
	for i, m := range models {
		key := fmt.Sprintf("models[%d].dir", i)
		b, err := inference.LoadBundle(m.Dir)
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
	return bundles, errors.Join(errs...)
}

func (m *Models) add(ctx context.Context, runtime *onnx.Runtime, bundle *inference.Bundle, cfg configs.Config) error {
	o := ask.Options{Threads: cfg.ONNXRuntime.Threads, Sessions: max(cfg.Jobs.Workers, 1), Provider: cfg.ONNXRuntime.Provider, Cache: m.sessions.routes}
	wishes := &ask.Wishes{Model: ask.New(runtime, bundle, o)}
	network, err := wishes.Model.OpenNetwork(ctx)
	if err != nil {
		return err
	}
	m.networks = append(m.networks, network)
	o.Cache = m.sessions.live
	wishes.Own = network.How
	m.wishes[bundle.Name], m.live[bundle.Name] = wishes, ask.New(runtime, bundle, o)
	model, err := inference.NewModel(ctx, bundle, network.Opened, wishes)
	if err != nil {
		return err
	}
	algorithm := reports.AlgorithmOf(bundle, len(m.Bundles)+1)
	algorithm.Explain = network.How
	if err := algorithm.Validate(); err != nil {
		return err
	}
	m.Bundles = append(m.Bundles, bundle)
	m.folders[filepath.Base(filepath.Clean(bundle.Dir))] = bundle.Name
	m.models[bundle.Name], m.algorithms[bundle.Name] = model, algorithm
	return nil
}

// Explained is how the findings of a model are explained, by its name.
func (m *Models) Explained(name string) analysis.Explanation { return m.algorithms[name].Explain }

// Close frees the networks. No worker may be running.
func (m *Models) Close() error {
	var errs []error
	for _, n := range m.networks {
		errs = append(errs, n.Close())
	}
	for name, w := range m.wishes {
		errs = append(errs, w.Model.Close(), m.live[name].Close())
	}
	return errors.Join(errs...)
}

// Live is the model that somebody's questions are put to while the gateway works.
func (m *Models) Live(name string) (*ask.Model, bool) {
	model, ok := m.live[name]
	return model, ok
}

func (m *Models) algorithm(name string) (reports.Algorithm, bool) {
	a, ok := m.algorithms[name]
	return a, ok
}

// CheckRoutes looks up the models of routes in the manifests alone: no network is loaded.
func CheckRoutes(cfg configs.Config) error {
	m, err := fromManifests(cfg)
	if m == nil {
		return err
	}
	return errors.Join(err, checkHeatmaps(cfg.Routes), m.checkUrgent(cfg.Urgent))
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
				errs = append(errs, configs.Fault(fmt.Sprintf("routes[%d].models", i), "%q is none of the loaded models (%s)", name, strings.Join(m.Names(), ", ")))
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
			Classes: b.Classes,
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
