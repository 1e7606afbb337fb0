package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"endogate/cmd/endogate/admin"
	"endogate/configs"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/intake"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
	"endogate/explain"
	"endogate/inference"
	"endogate/reports"
)

// TryRoute says what would become of a DICOM file (PS3.10) that calling sends to a gateway of a configuration, with what persons have put in the
// place of models: nothing is stored, nothing goes out, and no network is loaded.
func TryRoute(ctx context.Context, cfg configs.Config, file []byte, calling dicom.AETitle) (admin.RouteTrial, error) {
	choices, err := Chosen(ctx, cfg)
	if err != nil {
		return admin.RouteTrial{}, err
	}
	m, err := fromManifests(cfg, choices)
	if err != nil {
		return admin.RouteTrial{}, err
	}
	return m.try(ctx, cfg, file, calling)
}

// fromManifests are the models of a configuration without their networks, and its routes.
func fromManifests(cfg configs.Config, choices []ledger.BundleVersion) (*Models, error) {
	m := &Models{
		heatmaps: map[string][]explain.Target{}, folders: map[string]string{}, models: map[string]inference.Model{}, algorithms: map[string]reports.Algorithm{},
		loaded: map[string]*loadedModel{},
	}
	var err error
	if m.Bundles, m.chosen, err = bundles(cfg.Models, choices); err != nil {
		return nil, err
	}
	for i, b := range m.Bundles { // a route goes on naming the configured folder, whichever bundle stands for it
		m.folders[filepath.Base(filepath.Clean(cfg.Models[i].Dir))], m.models[b.Name] = b.Name, nil
	}
	m.routes, err = m.resolve(cfg.Routes)
	return m, err
}

func (m *Models) try(ctx context.Context, cfg configs.Config, file []byte, calling dicom.AETitle) (t admin.RouteTrial, err error) {
	r := bufio.NewReader(bytes.NewReader(file))
	meta, err := dicom.ReadFileMeta(r)
	if err != nil {
		return t, fmt.Errorf("%w: %w; give a DICOM file (PS3.10)", admin.ErrUnsupported, err)
	}
	if calling == "" {
		calling = dicom.AETitle(meta.SourceApplicationEntityTitle)
	}
	t = admin.RouteTrial{
		SOPClassUID: meta.SOPClassUID, SOPClass: classNamed(meta.SOPClassUID), TransferSyntaxUID: meta.TransferSyntaxUID, TransferSyntax: syntaxNamed(meta.TransferSyntaxUID),
		CallingAE: calling,
	}
	if t.Refusals, err = refusals(cfg, meta, calling); err != nil {
		return t, err
	}
	ts, ok := dicom.LookupTransferSyntax(meta.TransferSyntaxUID)
	if !ok {
		return t, nil // nothing more can be read
	}
	dataset, err := io.ReadAll(r)
	if err != nil {
		return t, err
	}
	header, err := intake.ReadHeader(bytes.NewReader(dataset), ts, &dicomnode.StoreRequest{SOPClassUID: meta.SOPClassUID, SOPInstanceUID: meta.SOPInstanceUID})
	if err != nil {
		t.Refusals = append(t.Refusals, fmt.Sprintf("C-STORE would be answered with %v: %s", dimse.StatusOf(err), dimse.CommentOf(err)))
		return t, nil
	}
	t.Frames, t.Remarks = header.NumberOfFrames, header.Remarks
	m.follow(&t, cfg, header)
	if len(t.Models) > 0 {
		m.analysed(ctx, &t, cfg, dataset, ts)
	}
	return t, nil
}

// refusals are why an association would not be made, or not for such an instance.
func refusals(cfg configs.Config, meta dicom.FileMeta, calling dicom.AETitle) (all []string, err error) {
	contexts, err := AcceptedContexts(cfg.DICOM.SOPClasses)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(cfg.DICOM.Peers, func(p configs.Peer) bool { return p.AETitle == "*" || p.AETitle == "" || p.AETitle == calling }) {
		all = append(all, fmt.Sprintf("calling AE title %q is none of dicom.peers: the association would be rejected; list it there with its address", calling))
	}
	at := slices.IndexFunc(contexts, func(pc dicomnode.PresentationContext) bool { return pc.AbstractSyntax == meta.SOPClassUID })
	switch {
	case at < 0:
		all = append(all, fmt.Sprintf("SOP class %s is none of dicom.sop_classes: its presentation context would be refused; name it there", meta.SOPClassUID))
	case !slices.Contains(contexts[at].TransferSyntaxes, meta.TransferSyntaxUID):
		all = append(all, fmt.Sprintf("transfer syntax %q is not known here: its presentation context would be refused; have the sender use another", meta.TransferSyntaxUID))
	}
	return all, nil
}

// follow finds the route and what it says.
func (m *Models) follow(t *admin.RouteTrial, cfg configs.Config, header dicom.Header) {
	router := m.router(cfg)
	for _, route := range router {
		match := admin.RouteMatch{Name: route.Name}
		for _, u := range route.Match.Unmet(header, string(t.CallingAE)) {
			match.Unmet = append(match.Unmet, admin.Condition{Key: u.Key, Wants: u.Wants, Has: u.Has})
		}
		match.Matches = len(match.Unmet) == 0
		t.Routes = append(t.Routes, match)
	}
	taken, ok := router.Route(header, string(t.CallingAE))
	if !ok {
		return
	}
	t.Route, t.Gate = taken.Name, string(taken.Gate)
	for _, name := range taken.Models {
		t.Models = append(t.Models, admin.ModelTrial{Name: name, Analyses: true})
	}
	at := slices.IndexFunc(cfg.Routes, func(r configs.Route) bool { return r.Name == taken.Name })
	for _, name := range cfg.Routes[at].Destinations {
		for _, d := range cfg.Destinations {
			if d.Name == name {
				t.Destinations = append(t.Destinations, admin.Delivered{Name: d.Name, Kind: string(d.Kind), Gets: gets(d, taken)})
			}
		}
	}
}

// gets says what a destination of a route is sent.
func gets(d configs.Destination, r intake.Route) []string {
	all := []string{}
	if d.Kind == configs.KindDICOM && r.ForwardSource {
		all = append(all, "source")
	}
	switch {
	case len(r.Models) == 0:
	case d.Kind == configs.KindDICOM:
		if all = append(all, "heatmap", "sr", "kos"); d.PDF {
			all = append(all, "pdf")
		}
	case d.Kind == configs.KindHL7, d.Kind == configs.KindFHIR:
		all = append(all, "report")
	}
	return all
}

// analysed says of the models whether they would look at it: they see what the first frame's pixels are decoded to.
func (m *Models) analysed(ctx context.Context, t *admin.RouteTrial, cfg configs.Config, dataset []byte, ts dicom.TransferSyntax) {
	why := ""
	if !ts.Video {
		decode := Decoding(cfg)
		opened, err := pixeldata.OpenSeekable(bytes.NewReader(dataset), ts, decode)
		if err == nil {
			_, err = opened.Frame(ctx, 1)
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			why = err.Error()
		}
	}
	bundles := m.byName()
	for i := range t.Models {
		model := &t.Models[i]
		model.Why = why
		if ts.Video && bundles[model.Name].Kind == inference.Video {
			model.Why = "it looks across time itself; of videos it is given none, models of stills are"
		}
		model.Analyses = model.Why == ""
	}
}
