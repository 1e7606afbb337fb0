package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/configs"
	"endogate/dicomnode/audit"
	"endogate/dicomnode/intake"
	"endogate/dicomnode/ledger"
	"endogate/inference"
)

// chosen are those versions that persons have put in the place of configured ones.
func chosen(all []ledger.BundleVersion) []ledger.BundleVersion {
	return slices.DeleteFunc(slices.Clone(all), func(v ledger.BundleVersion) bool { return !v.InForce || !v.Chosen() })
}

// Chosen are the versions of models that persons have put in the place of configured ones, as the ledger of a configuration has them; the gateway
// may run.
func Chosen(ctx context.Context, cfg configs.Config) ([]ledger.BundleVersion, error) {
	if _, err := os.Stat(cfg.LedgerFile()); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	all, err := ledger.BundleVersionsIn(ctx, cfg.LedgerFile())
	return chosen(all), err
}

// SettingsInForce are settings of a configuration with what persons have put in the place of configured bundles.
func SettingsInForce(ctx context.Context, cfg configs.Config, settings []configs.Setting) ([]configs.Setting, error) {
	choices, err := Chosen(ctx, cfg)
	if err != nil || len(choices) == 0 {
		return settings, err
	}
	m, err := fromManifests(cfg, choices)
	if m == nil {
		return settings, err
	}
	return m.shown(settings), nil
}

// AsConfigured takes back what a person has put in the place of a configured model, in the data folder of a gateway that does not run.
func AsConfigured(ctx context.Context, cfg configs.Config, model string, log *slog.Logger) error {
	return keptAtRest(ctx, cfg, "rollback", log, func(l *ledger.Ledger, _ intake.Journal) error {
		all, err := l.BundleVersions(ctx)
		if err != nil {
			return err
		}
		of := func(v ledger.BundleVersion) bool { return v.Name == model }
		if !slices.ContainsFunc(chosen(all), of) {
			return fmt.Errorf("%w: model %s is as configured", admin.ErrRefused, model)
		}
		others := slices.DeleteFunc(all, func(v ledger.BundleVersion) bool { return of(v) || !v.InForce })
		return l.PutInForce(ledger.By(ctx, unknownPerson), others, time.Now()) // the next start says what is in force then
	})
}

// standsFor is the bundle that a person has put in the place of a configured one, which is entered into chosen; or that itself. A choice is made
// against one version of the configured bundle: where the configuration names another one by now, that is the newer decision.
func standsFor(b *inference.Bundle, choices []ledger.BundleVersion, chosen map[string]ledger.BundleVersion) (*inference.Bundle, error) {
	i := slices.IndexFunc(choices, func(c ledger.BundleVersion) bool {
		return c.Name == b.Name && c.OverVersion == b.Version && c.OverDigest == b.Digest
	})
	if i < 0 {
		return b, nil
	}
	c := choices[i]
	is, err := inference.LoadBundle(c.Dir)
	if err == nil && (is.Name != c.Name || is.Version != c.Version || is.Digest != c.Digest) {
		err = fmt.Errorf("%s holds %s %s, digest %s, by now", c.Dir, is.Name, is.Version, is.Digest)
	}
	if err != nil {
		return nil, fmt.Errorf("version %s of model %s, digest %s, which %s has put in force in place of %s: %w; bring that bundle back, or take the choice back: endogate model rollback %s --as-configured",
			c.Version, c.Name, c.Digest, c.By, c.OverVersion, err, c.Name)
	}
	chosen[b.Name] = c
	return is, nil
}

// Choices are those of persons that are in force.
func (m *Models) Choices() []ledger.BundleVersion { return slices.Collect(maps.Values(m.chosen)) }

// passedOver are the choices that are not in force, as the configuration has changed.
func (m *Models) passedOver(choices []ledger.BundleVersion) []ledger.BundleVersion {
	return slices.DeleteFunc(slices.Clone(choices), func(c ledger.BundleVersion) bool { _, is := m.chosen[c.Name]; return is })
}

// versionsInForce are those of all models.
func (m *Models) versionsInForce() (all []ledger.BundleVersion) {
	for _, b := range m.Bundles {
		v, is := m.chosen[b.Name]
		if !is {
			v = ledger.BundleVersion{Name: b.Name, Version: b.Version, Digest: b.Digest, Dir: b.Dir}
		}
		all = append(all, v)
	}
	return all
}

// shown are settings with what persons have put in the place of configured bundles.
func (m *Models) shown(settings []configs.Setting) []configs.Setting {
	i := slices.IndexFunc(settings, func(s configs.Setting) bool { return s.Key == "models" })
	if len(m.chosen) == 0 || i < 0 {
		return settings
	}
	var folders []map[string]string
	var who []string
	for _, b := range m.Bundles {
		folders = append(folders, map[string]string{"dir": b.Dir})
		if c, is := m.chosen[b.Name]; is {
			who = append(who, fmt.Sprintf("%s %s in place of %s: %s, %s", c.Name, c.Version, c.OverVersion, c.By, c.Since.UTC().Format(time.RFC3339)))
		}
	}
	value, _ := json.Marshal(folders) // of texts it always can
	all := slices.Clone(settings)
	all[i] = all[i].Replaced(string(value), strings.Join(who, "; "))
	return all
}

func choiceView(chosen map[string]ledger.BundleVersion, name string) *admin.ModelChoice {
	c, is := chosen[name]
	if !is {
		return nil
	}
	return &admin.ModelChoice{Over: c.OverVersion, At: c.Since, By: c.By.String()}
}

// with is what a generation is made of, with another version of a model.
func (g *generation) with(c ledger.BundleVersion) read {
	choices := slices.DeleteFunc(g.models.Choices(), func(o ledger.BundleVersion) bool { return o.Name == c.Name })
	if c.Chosen() {
		choices = append(choices, c)
	}
	return read{g.cfg, g.configured, choices}
}

// differsOnly is an error where more than a version of a model, or another one, would come in force: of bundles that have changed on the disk since
// they were read.
func (g *generation) differsOnly(c ledger.BundleVersion, was *generation) error {
	if g.models.loaded[c.Name] == nil {
		return fmt.Errorf("the configuration has no model %s any more", c.Name)
	}
	for name, l := range g.models.loaded {
		if name == c.Name && l.bundle.Version == c.Version && l.bundle.Digest == c.Digest || name != c.Name && l == was.models.loaded[name] {
			continue
		}
		return fmt.Errorf("the bundle of %s in %s has changed since it was read: reload the configuration first", name, l.bundle.Dir)
	}
	return nil
}

// keepVersions has the ledger know which version of each model is in force.
func (g *generation) keepVersions(ctx context.Context) error {
	for _, c := range g.ended {
		g.log.Warn("the configuration has changed: the version of a model that a person had put in the place of the configured one is not in force any more",
			"model", c.Name, "was", c.Version, "in_place_of", c.OverVersion, "by", c.By.String())
	}
	if g.by != (ledger.Actor{}) {
		ctx = ledger.By(ctx, g.by)
	}
	return g.ledger.PutInForce(ctx, g.models.versionsInForce(), g.now())
}

// chose says what came of putting another version of a model in force.
func (g *parts) chose(ctx context.Context, r reload, err error) {
	if err != nil {
		g.log.Error("another version of a model is not put in force: what was in force still is", "model", r.choice.Name, "version", r.choice.Version, "by", r.by, "err", err)
		g.recordFailure(ctx, r)
		return
	}
	g.metrics.InForce(configs.Digest(g.current().settings))
	g.log.Info("another version of a model is in force", "model", r.choice.Name, "version", r.choice.Version, "digest", r.choice.Digest, "as_configured", !r.choice.Chosen(), "by", r.by)
}

// recordFailure enters into the audit trail that what was asked for was not put in force.
func (g *parts) recordFailure(ctx context.Context, r reload) {
	if err := g.record(context.WithoutCancel(ctx), r, audit.Minor, g.current(), nil); err != nil {
		g.log.Error("that nothing was put in force is not in the audit trail", "err", err)
	}
}

// mostFolders bounds how many folders beside a bundle are looked at.
const mostFolders = 1000

// versions are those of a model that is configured whose bundles are there: in the folder that is configured, beside it and beside the one in
// force, and wherever one was that was in force before; and the one in force also where its bundle has gone.
func (g *parts) versions(ctx context.Context, name string) ([]admin.ModelVersion, error) {
	is := g.current()
	i := slices.IndexFunc(is.models.Bundles, func(b *inference.Bundle) bool { return b.Name == name })
	if i < 0 {
		return nil, admin.ErrNotFound
	}
	known, err := g.ledger.BundleVersions(ctx)
	if err != nil {
		return nil, err
	}
	known = slices.DeleteFunc(known, func(v ledger.BundleVersion) bool { return v.Name != name })
	configured, inForce := is.cfg.Models[i].Dir, is.models.Bundles[i]
	dirs := append([]string{configured, inForce.Dir}, beside(configured)...)
	dirs = append(dirs, beside(inForce.Dir)...)
	for _, v := range known {
		dirs = append(dirs, v.Dir)
	}
	var all []admin.ModelVersion
	seen := map[string]bool{}
	add := func(v admin.ModelVersion) {
		v.InForce = v.Version == inForce.Version && v.Digest == inForce.Digest
		if k := slices.IndexFunc(known, func(k ledger.BundleVersion) bool { return k.Version == v.Version && k.Digest == v.Digest }); k >= 0 {
			v.Since, v.By = known[k].Since, known[k].By.String()
		}
		if !slices.ContainsFunc(all, func(o admin.ModelVersion) bool { return o.Version == v.Version && o.Digest == v.Digest }) {
			all = append(all, v)
		}
	}
	for n, dir := range dirs {
		whole, err := filepath.Abs(dir)
		if err != nil || seen[whole] {
			continue
		}
		seen[whole] = true
		m, err := inference.ReadManifest(dir)
		if err != nil || m.Name != name {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		v := admin.ModelVersion{Version: m.Version, Digest: m.Stated, Folder: whole, Configured: n == 0}
		if b, err := inference.LoadBundle(dir); err != nil {
			v.Reason = err.Error()
		} else {
			v.Digest = b.Digest
		}
		add(v)
	}
	add(admin.ModelVersion{Version: inForce.Version, Digest: inForce.Digest, Folder: inForce.Dir, Reason: "its folder does not hold it any more: a start would be refused"})
	slices.SortStableFunc(all, func(a, b admin.ModelVersion) int {
		if a.InForce != b.InForce {
			return map[bool]int{true: -1, false: 1}[a.InForce]
		}
		return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(b.Version, a.Version))
	})
	return all, nil
}

// beside are the folders beside one, and itself.
func beside(dir string) (all []string) {
	parent := filepath.Dir(filepath.Clean(dir))
	entries, _ := os.ReadDir(parent) // of what cannot be read nothing is offered
	for _, e := range entries[:min(len(entries), mostFolders)] {
		all = append(all, filepath.Join(parent, e.Name()))
	}
	return all
}

// Versions implements admin.Operations.
func (o operations) Versions(ctx context.Context, model string) ([]admin.ModelVersion, error) {
	return o.versions(ctx, model)
}

// PutInForce implements admin.Operations.
func (o operations) PutInForce(ctx context.Context, model, version, digest, by string) (admin.ModelVersion, error) {
	all, err := o.versions(ctx, model)
	if err != nil {
		return admin.ModelVersion{}, err
	}
	refuse := func(why string) (admin.ModelVersion, error) {
		return admin.ModelVersion{}, fmt.Errorf("%w: version %s of %s: %s", errNotApplied, version, model, why)
	}
	asked := slices.DeleteFunc(slices.Clone(all), func(v admin.ModelVersion) bool { return v.Version != version || digest != "" && v.Digest != digest })
	switch {
	case len(asked) == 0:
		return refuse("no bundle of it is there; /api/v1/models/{name}/versions has those that are")
	case len(asked) > 1:
		return refuse("several bundles have it, with networks of their own: say which by its digest")
	case asked[0].InForce:
		return refuse("it is in force")
	case asked[0].Reason != "":
		return refuse(asked[0].Reason)
	}
	v := asked[0]
	c := ledger.BundleVersion{Name: model, Version: v.Version, Digest: v.Digest, Dir: v.Folder, Since: o.now(), By: ledger.ActorOf(ctx, unknownPerson)}
	if !v.Configured {
		i := slices.IndexFunc(all, func(v admin.ModelVersion) bool { return v.Configured })
		if i < 0 || all[i].Reason != "" {
			return refuse("the configured bundle cannot be read, and a start needs it, too")
		}
		c.OverVersion, c.OverDigest = all[i].Version, all[i].Digest
	}
	if _, err := o.replace(ctx, by, &c); err != nil {
		return admin.ModelVersion{}, err
	}
	v.InForce, v.Since, v.By = true, c.Since, c.By.String()
	return v, nil
}
