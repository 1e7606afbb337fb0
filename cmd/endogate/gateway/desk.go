package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/configs"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/spool"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/reports"
	"endogate/reports/desk"
	"endogate/reports/draft"
	"endogate/reports/pdf"
)

// openDesk makes what keeps the report drafts.
func (g *generation) openDesk() error {
	r := g.cfg.Reports
	zone, err := time.LoadLocation(r.TimeZone)
	if err != nil {
		return err
	}
	templates, err := Templates(g.cfg)
	if err != nil {
		return err
	}
	g.desk = &desk.Desk{
		Ledger: g.ledger, Templates: templates, Language: r.Language, Location: zone,
		Model: g.models.described, Source: g.keeper.Source, Quality: g.quality,
		UnauthenticatedSign: r.UnauthenticatedSign, ReportingSystem: r.ReportingSystem, Log: g.log, Now: g.now,
		Entered: func(_ dicom.UID, sends bool) {
			if sends {
				g.current().wakeOutbox()
			}
		},
	}
	return nil
}

// drafted is an error where no draft can be made of a study before somebody has mended something.
func (g *parts) drafted(ctx context.Context) error {
	n, study, reason, err := g.ledger.ParkedDrafts(ctx)
	if err == nil && n > 0 {
		err = fmt.Errorf("no draft can be made of %d studies, such as %s: %s; mend it, then POST /api/v1/studies/%s/draft/retry", n, study, reason, study)
	}
	return err
}

// described is what reports say of a model beside its results.
func (m *Models) described(name string) (desk.Model, bool) {
	for _, b := range m.Bundles {
		if b.Name == name {
			return desk.Model{Model: b.Made(), IntendedUse: b.IntendedUse, Explanation: reports.Explained(m.algorithms[name].Explain), Classes: b.Classes, Masked: masked(b)}, true
		}
	}
	return desk.Model{}, false
}

// masked are the boxes that a model does not look into.
func masked(b *inference.Bundle) (boxes [][4]float64) {
	for _, step := range b.Preprocess {
		if m := step.MaskBox; m != nil {
			boxes = append(boxes, [4]float64{m.Left, m.Top, m.Right, m.Bottom})
		}
	}
	return boxes
}

// quality measures a frame for the choice of key images.
func (g *generation) quality(ctx context.Context, entry string, frame int) (draft.Quality, error) {
	var q draft.Quality
	err := g.opened(entry, func(i *pixeldata.Instance) error {
		if i.Video() {
			return desk.ErrUnmeasured // its frames were chosen at the analysis, and each costs a child
		}
		f, err := i.Frame(ctx, frame)
		if err == nil {
			q = draft.Measure(f.Image)
		}
		return err
	})
	return q, err
}

// frameOf decodes one frame of a spool entry.
func (g *generation) frameOf(ctx context.Context, entry string, frame int) (f pixeldata.Frame, err error) {
	err = g.opened(entry, func(i *pixeldata.Instance) error {
		f, err = g.clips.frame(ctx, entry, i, frame)
		return err
	})
	return f, err
}

// opened has do look at the instance of a spool entry.
func (g *generation) opened(id string, do func(*pixeldata.Instance) error) error {
	entry, dataset, err := g.spool.Open(id)
	if err != nil {
		return err
	}
	defer dataset.Close()
	ts, _ := dicom.LookupTransferSyntax(entry.TransferSyntaxUID)
	i, err := pixeldata.OpenSeekable(dataset, ts, g.decoding())
	if err != nil {
		return err
	}
	return do(i)
}

// Pages makes pages of report drafts, with pictures out of the spool.
type Pages struct {
	Fonts       *pdf.Fonts
	Templates   *draft.Templates
	Colours     *explain.ColourMap
	Location    *time.Location
	Institution string
	Viewer      string                                                                                          // URL with {study}, and perhaps {instance}; empty: there is none
	Frame       func(ctx context.Context, instance dicom.UID, frame int) (image.Image, error)                   // a pdf.ErrNoPicture: it is gone
	Timeline    func(ctx context.Context, study dicom.UID, v draft.Video, language string) (image.Image, error) // the same
}

// Render makes the PDF of doc.
func (p Pages) Render(ctx context.Context, doc draft.Document) ([]byte, error) {
	return pdf.Render(doc, pdf.Options{
		Fonts: p.Fonts, Label: p.Templates.Label, Called: p.Templates.Called, Colours: p.Colours, Location: p.Location, Institution: p.Institution, Links: p.links(doc),
		Picture: func(k draft.KeyImage) (pdf.Picture, error) {
			frame, err := p.Frame(ctx, k.Frame.Instance.SOPInstanceUID, k.Frame.Span.First+max(k.Frame.Span.Count-1, 0)/2)
			if err != nil {
				return pdf.Picture{}, err
			}
			picture := pdf.Picture{Frame: frame}
			if heatmap := k.Frame.Heatmap.SOPInstanceUID; heatmap != "" {
				picture.Heatmap, err = p.Frame(ctx, heatmap, 1)
				if errors.Is(err, pdf.ErrNoPicture) {
					picture.Heatmap, err = nil, nil // it has left the spool: the frame is worth showing alone
				}
			}
			return picture, err
		},
		Timeline: func(v draft.Video) (image.Image, error) { return p.Timeline(ctx, doc.Study, v, doc.Language) },
		Sheet:    func(f draft.Frame) (image.Image, error) { return p.Frame(ctx, f.Sheet.SOPInstanceUID, 1) },
	})
}

// links are to the study in the viewer, or to each instance with a key image where it can show one; the addresses of many
// would fill pages.
func (p Pages) links(doc draft.Document) (links []pdf.Link) {
	const most = 20
	link := func(text string, instance dicom.UID) {
		to := strings.NewReplacer("{study}", url.QueryEscape(string(doc.Study)), "{instance}", url.QueryEscape(string(instance))).Replace(p.Viewer)
		if !slices.ContainsFunc(links, func(l pdf.Link) bool { return l.URL == to }) && len(links) < most {
			links = append(links, pdf.Link{Text: text, URL: to})
		}
	}
	switch {
	case p.Viewer == "":
	case !strings.Contains(p.Viewer, "{instance}"):
		link("", "")
	default:
		for _, k := range doc.ShownImages() {
			link(k.Caption, k.Frame.Instance.SOPInstanceUID)
		}
	}
	return links
}

// openPages makes what draws pages of drafts.
func (g *generation) openPages() error {
	fonts, err := pdf.OpenFonts(g.cfg.Reports.Font)
	if err != nil {
		return err
	}
	if !fonts.Wide() {
		g.noWideFont = pdf.ErrNoWideFont
	}
	colours, err := explain.NamedColourMap(g.cfg.Reports.ColourMap)
	if err != nil {
		return err
	}
	lines := g.timelines()
	g.pages = Pages{
		Fonts: fonts, Templates: g.desk.Templates, Colours: colours, Location: g.desk.Location, Institution: g.cfg.Reports.InstitutionName,
		Viewer: g.cfg.Reports.Viewer,
		Frame:  g.pictureOf,
		Timeline: func(ctx context.Context, study dicom.UID, v draft.Video, language string) (image.Image, error) {
			img, err := lines.of(ctx, study, v.Instance.SOPInstanceUID, v.Model.Name, cmp.Or(language, "en"))
			if err != nil {
				return nil, noPicture(ctx, err)
			}
			return img, nil
		},
	}
	return nil
}

// pictureOf decodes a frame of an instance; a pdf.ErrNoPicture: it is gone.
func (g *generation) pictureOf(ctx context.Context, instance dicom.UID, frame int) (image.Image, error) {
	entry, err := g.ledger.EntryOf(ctx, string(instance))
	if err != nil {
		return nil, noPicture(ctx, err)
	}
	f, err := g.frameOf(ctx, entry, frame)
	if err != nil {
		return nil, noPicture(ctx, err)
	}
	return square(f), nil
}

// timelines draws what is said of videos.
func (g *generation) timelines() timelines {
	return timelines{g.ledger, func(model string) []analysis.Class {
		m, _ := g.models.described(model)
		return m.Classes
	}, g.picturesOf, g.desk.Templates}
}

// picturesOf decodes frames of a video, whose numbers rise, with as few children as there are stretches of them. Take is given an error in place of each that
// cannot be had; that of an instance that is gone is that of its first frame.
func (g *generation) picturesOf(ctx context.Context, instance dicom.UID, numbers []int, take func(int, image.Image, error) error) error {
	entry, err := g.ledger.EntryOf(ctx, string(instance))
	if err == nil {
		err = g.opened(entry, func(i *pixeldata.Instance) error {
			return g.clips.frames(ctx, entry, i, numbers, func(f pixeldata.Frame, err error) error {
				if bad := (*pixeldata.FrameError)(nil); errors.As(err, &bad) {
					return take(bad.First, nil, noPicture(ctx, err))
				}
				if err != nil {
					return err
				}
				return take(f.Number, square(f), nil)
			})
		})
	}
	if err != nil {
		return take(numbers[0], nil, noPicture(ctx, err))
	}
	return nil
}

// lostPageError is of a signed version whose page is gone from the spool: none is drawn in its place.
type lostPageError struct{ err error }

func (e *lostPageError) Error() string {
	return "the page that was signed is not in the spool any more: take it from where it was sent, or amend the report: " + e.err.Error()
}

func (e *lostPageError) Unwrap() error { return e.err }

// Permanent says that trying again does not help.
func (*lostPageError) Permanent() bool { return true }

// page is the PDF of a version: of what was signed that which was made then.
func (g *generation) page(ctx context.Context, doc draft.Document) ([]byte, error) {
	if doc.Editable() {
		return g.pages.Render(ctx, doc)
	}
	row, err := g.ledger.Draft(ctx, doc.Study, doc.Number, doc.Version)
	switch {
	case err != nil && !errors.Is(err, ledger.ErrNotFound):
		return nil, err
	case row.Page == "": // it is being signed; or it was signed by an earlier release, or was too large to keep
		return g.pages.Render(ctx, doc)
	}
	_, data, err := g.spool.Open(row.Page)
	if errors.Is(err, spool.ErrNotFound) || errors.Is(err, spool.ErrCorrupt) {
		return nil, &lostPageError{err}
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = data.Close() }() // only read from
	return io.ReadAll(data)
}

// noPicture marks errors of a picture that is gone, or that nobody here can decode, however often it is tried. Bytes that
// cannot be read are as good as gone: a report would never be made.
func noPicture(ctx context.Context, err error) error {
	if ctx.Err() != nil { // a decoder that is killed calls its input corrupt
		return context.Cause(ctx)
	}
	for _, gone := range []error{
		ledger.ErrNotFound, spool.ErrNotFound, spool.ErrCorrupt, pixeldata.ErrCorrupt, pixeldata.ErrUnsupported, pixeldata.ErrTooMuch, pixeldata.ErrNoFrame, syscall.EIO, errNoTimeline,
	} {
		if errors.Is(err, gone) {
			return fmt.Errorf("%w: %w", pdf.ErrNoPicture, err)
		}
	}
	return err
}

// drafts shows the desk to the API.
type drafts struct{ *parts }

func (d drafts) desk() *desk.Desk { return d.current().desk }

// forAPI is an error as the API answers it.
func forAPI(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, desk.ErrUnauthenticated):
		return fmt.Errorf("%w: %w", admin.ErrForbidden, err)
	case errors.Is(err, ledger.ErrNotFound):
		return notFound(err)
	}
	return err
}

// Draft implements admin.Drafts.
func (d drafts) Draft(ctx context.Context, study dicom.UID, number, version int) (draft.Document, error) {
	v, err := d.desk().Version(ctx, study, number, version)
	if errors.Is(err, ledger.ErrNotFound) {
		return draft.Document{}, d.missing(ctx, study)
	}
	return v.Content, err
}

// missing says why there is no draft.
func (d drafts) missing(ctx context.Context, study dicom.UID) error {
	state, err := d.ledger.Desk(ctx, study)
	if err != nil {
		return err
	}
	exams, err := d.ledger.ExamsOf(ctx, study)
	if err != nil {
		return err
	}
	open := 0
	for _, e := range exams {
		if e.State == ledger.ExamOpen {
			open++
		}
	}
	switch {
	case len(exams) == 0:
		return fmt.Errorf("%w: no model looks at this study, or it is not known", admin.ErrNotFound)
	case state.Number > 0:
		return fmt.Errorf("%w: no such version, or it is forgotten", admin.ErrNotFound)
	case state.Reason != "":
		return fmt.Errorf("%w: no draft can be made: %s; mend that, and POST …/draft/retry", admin.ErrNotFound, state.Reason)
	case open > 0:
		return fmt.Errorf("%w: the draft is made when the examination is assembled: %d of %d parts are open", admin.ErrNotFound, open, len(exams))
	}
	return fmt.Errorf("%w: the draft is not made yet; ask again in a moment", admin.ErrNotFound)
}

// History implements admin.Drafts.
func (d drafts) History(ctx context.Context, study dicom.UID, p admin.Page) ([]ledger.Draft, error) {
	all, err := d.ledger.Drafts(ctx, study, ledger.Page(p))
	if err == nil && len(all) == 0 && p.Offset == 0 {
		err = d.missing(ctx, study)
	}
	return all, err
}

// PDF implements admin.Drafts.
func (d drafts) PDF(ctx context.Context, study dicom.UID, number, version int) ([]byte, error) {
	v, err := d.desk().Version(ctx, study, number, version)
	if err != nil {
		return nil, forAPI(err)
	}
	page, err := d.current().page(ctx, v.Content)
	var lost *lostPageError
	if errors.As(err, &lost) {
		err = fmt.Errorf("%w: %w", admin.ErrGone, err)
	}
	return page, err
}

// Edit implements admin.Drafts.
func (d drafts) Edit(ctx context.Context, study dicom.UID, at draft.Reference, edits []draft.Edit, author draft.Author) (draft.Document, error) {
	doc, err := d.desk().Edit(ctx, study, at, edits, author)
	return doc, forAPI(err)
}

// Sign implements admin.Drafts.
func (d drafts) Sign(ctx context.Context, study dicom.UID, at draft.Reference, author draft.Author) (draft.Document, error) {
	doc, err := d.desk().Sign(ctx, study, at, author)
	return doc, forAPI(err)
}

// Amend implements admin.Drafts.
func (d drafts) Amend(ctx context.Context, study dicom.UID, at draft.Reference, author draft.Author, reason string) (draft.Document, error) {
	doc, err := d.desk().Amend(ctx, study, at, author, reason)
	return doc, forAPI(err)
}

// Withdraw implements admin.Drafts.
func (d drafts) Withdraw(ctx context.Context, study dicom.UID, at draft.Reference, author draft.Author, reason string) (draft.Document, error) {
	doc, err := d.desk().Withdraw(ctx, study, at, author, reason)
	return doc, forAPI(err)
}

// RetryDraft implements admin.Drafts.
func (d drafts) RetryDraft(ctx context.Context, study dicom.UID) error {
	err := d.ledger.RetryDraft(ledger.By(ctx, ledger.Actor{Kind: ledger.ActorPerson}), study, d.now())
	if err == nil {
		d.desk().Wake()
	}
	return forAPI(err)
}

// AgreementCounts implements admin.Drafts.
func (d drafts) AgreementCounts(ctx context.Context, f admin.AgreementFilter) ([]ledger.AgreementCount, error) {
	return d.ledger.AgreementCounts(ctx, f)
}

// Agreements implements admin.Drafts.
func (d drafts) Agreements(ctx context.Context, f admin.AgreementFilter) ([]ledger.Agreement, int, error) {
	return d.ledger.Agreements(ctx, f)
}

var _ admin.Drafts = drafts{}

// waitsForOthers are the destinations that something may go to only when something else is delivered.
func waitsForOthers(all []configs.Destination) (names []string) {
	for _, d := range all {
		if cmp.Or(d.Kind, configs.KindDICOM) != configs.KindDICOM {
			names = append(names, d.Name)
		}
	}
	return names
}
