package gateway

import (
	"context"
	"slices"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/reports/outbox"
)

// Accepts asks a peer which instances it takes: of the SOP classes that are made here, in the transfer syntaxes that they are written
// in, and of those that are taken in (as a configuration names them), in every transfer syntax. What the peer does not answer is in
// the matrix; the error is that of classes.
func Accepts(ctx context.Context, client *dicomnode.Client, address string, called dicom.AETitle, classes []string) (admin.Matrix, error) {
	takenIn, err := AcceptedContexts(classes)
	if err != nil {
		return admin.Matrix{}, err
	}
	made := outbox.Derived()
	pairs := slices.Clone(made)
	for _, pc := range takenIn {
		for _, ts := range pc.TransferSyntaxes {
			if p := (dicomnode.InstanceSyntax{SOPClassUID: pc.AbstractSyntax, TransferSyntaxUID: ts}); !slices.Contains(made, p) {
				pairs = append(pairs, p)
			}
		}
	}
	start := time.Now()
	answers, err := client.Accepts(ctx, address, called, pairs)
	took := float64(time.Since(start).Microseconds()) / 1000
	if err != nil {
		return admin.Matrix{Reason: err.Error(), Milliseconds: took}, nil
	}
	m := admin.Matrix{OK: true, Milliseconds: took}
	for i, a := range answers {
		at := slices.IndexFunc(m.Classes, func(c admin.MatrixClass) bool { return c.SOPClassUID == a.SOPClassUID })
		if at < 0 {
			at = len(m.Classes)
			m.Classes = append(m.Classes, admin.MatrixClass{SOPClassUID: a.SOPClassUID, Name: classNamed(a.SOPClassUID), MadeHere: i < len(made)})
		}
		m.Classes[at].Syntaxes = append(m.Classes[at].Syntaxes, admin.MatrixSyntax{
			TransferSyntaxUID: a.TransferSyntaxUID, Name: syntaxNamed(a.TransferSyntaxUID), Accepted: a.Result == dicomnode.ContextAccepted, Result: a.Result.String(),
		})
	}
	return m, nil
}

// classNamed and syntaxNamed are the names of PS3.6, or the UID where it is none of those the gateway knows.
func classNamed(uid dicom.UID) string {
	if c, ok := dicom.LookupSOPClass(uid); ok {
		return c.Name
	}
	return string(uid)
}

func syntaxNamed(uid dicom.UID) string {
	if ts, ok := dicom.LookupTransferSyntax(uid); ok {
		return ts.Name
	}
	return string(uid)
}
