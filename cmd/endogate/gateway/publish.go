package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"endogate/configs"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/hl7/oru"
	"endogate/reports"
	"endogate/reports/draft"
	"endogate/reports/fhir"
	"endogate/reports/publish"
)

// Receiver is d as reports are written for it.
func Receiver(cfg configs.Config, d configs.Destination) (publish.Destination, error) {
	to := publish.Destination{Name: d.Name, PDF: d.PDF, DraftsAfterSignature: d.DraftsAfterSignature}
	switch d.Kind {
	case configs.KindHL7:
		zone, err := time.LoadLocation(cfg.Reports.TimeZone)
		if err != nil {
			return to, err
		}
		to.Message, err = oru.NewWriter(d.ORU(cfg.Reports.InstitutionName, zone))
		return to, err
	case configs.KindFHIR:
		to.Bundle = &fhir.Options{Institution: cfg.Reports.InstitutionName, Systems: map[string]string{}}
		for _, s := range d.Systems {
			to.Bundle.Systems[s.Authority] = s.URI
		}
	}
	return to, nil
}

// newPublisher makes what sends reports, as the routes say where to.
func (g *generation) newPublisher() (*publish.Publisher, error) {
	routes := map[string][]publish.Destination{}
	for _, r := range g.cfg.Routes {
		for _, d := range g.cfg.Destinations { // in the same order for all routes
			for _, name := range r.Destinations {
				if name != d.Name {
					continue
				}
				to, err := Receiver(g.cfg, d)
				if err != nil {
					return nil, fmt.Errorf("destination %s: %w", d.Name, err)
				}
				routes[r.Name] = append(routes[r.Name], to)
			}
		}
	}
	return &publish.Publisher{
		Destinations: func(route string) []publish.Destination { return routes[route] },
		Builder:      g.builder, Templates: g.desk.Templates, Source: g.sourceOf, Pages: g.page, Keep: g.keeper.Keep, Create: g.spool.CreateMade, Release: g.spool.Release,
		EntryOf: g.ledger.EntryOf, Current: g.ledger.Current, MaxWait: g.cfg.Exam.MaxWait.Std(), Log: g.log,
	}, nil
}

// sourceOf reads an instance of the study of doc that is still in the spool, or what was made of one.
func (g *generation) sourceOf(ctx context.Context, doc draft.Document) (reports.Source, error) {
	var candidates []dicom.UID
	for _, i := range doc.Examination.Instances {
		candidates = append(candidates, i.Instance.SOPInstanceUID)
	}
	for _, m := range doc.Disclosure.Models {
		candidates = append(candidates, m.Report)
	}
	for _, uid := range candidates {
		entry, err := g.ledger.EntryOf(ctx, string(uid))
		if err == nil {
			var source reports.Source
			if source, err = g.keeper.Source(ctx, entry); err == nil {
				source.Order, source.Study = orderIn(doc), studyIn(doc)
				return source, nil
			}
		}
		if !errors.Is(err, reports.ErrGone) && !errors.Is(err, ledger.ErrNotFound) {
			return reports.Source{}, err
		}
	}
	return reports.Source{}, reports.ErrGone
}

// studyIn is what the images say of patient and study, as doc has it.
func studyIn(doc draft.Document) dicom.Header {
	p, e := doc.Patient, doc.Examination
	return dicom.Header{
		PatientID: p.ID, IssuerOfPatientID: p.Issuer, PatientName: p.Name, PatientBirthDate: p.BirthDate, PatientSex: p.Sex,
		AccessionNumber: e.Accession, StudyDescription: e.Description,
	}
}

// orderIn is the order as doc has it: what was signed names that one, whatever has become of it since.
func orderIn(doc draft.Document) *ledger.Order {
	o := doc.Order
	if o == nil {
		return nil
	}
	order := &ledger.Order{
		Accession: o.Accession, Placer: ledger.Identifier{ID: o.Placer, Authority: o.PlacerAuthority},
		Filler: ledger.Identifier{ID: o.Filler, Authority: o.FillerAuthority}, RequestedProcedureID: o.RequestedProcedureID,
		Service: o.Service, Reason: o.Reason, Requester: o.Requester, Referrer: o.Referrer,
		RequesterID: ledger.Identifier{ID: o.RequesterID, Authority: o.RequesterAuthority},
		ReferrerID:  ledger.Identifier{ID: o.ReferrerID, Authority: o.ReferrerAuthority}, PatientClass: o.PatientClass,
		AdmissionID: o.VisitNumber, AdmissionAuthority: o.VisitAuthority,
	}
	if o.StepID != "" {
		order.Steps = []ledger.Step{{ID: o.StepID}}
	}
	return order
}
