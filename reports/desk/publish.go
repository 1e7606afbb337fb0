package desk

import (
	"context"

	"endogate/dicomnode/ledger"
	"endogate/reports/draft"
)

// Publisher makes what is sent of a version of a draft: messages, documents and objects, in the protocol of each
// destination.
type Publisher interface {
	// Publish keeps in the spool what is to be sent of doc, which event has made, and returns what it is. It is called
	// before the ledger has doc, once more after a crash between the two, and then makes the same bytes. It is not called
	// for what a person has edited and not signed. An error that is a draft.InvalidError, or says Permanent, is for good.
	Publish(ctx context.Context, doc draft.Document, event ledger.DraftEvent) ([]ledger.Outgoing, error)
	// Objects keeps in the spool what archives get of doc once more, where it is lost, and returns it: the same bytes, if it
	// can; nothing where it cannot.
	Objects(ctx context.Context, doc draft.Document) ([]ledger.Outgoing, error)
	// Readdress keeps in the spool the message to a destination about doc, which a person has signed, once more, naming
	// patient, and returns it. It may be called again after a crash. Errors are as Publish's.
	Readdress(ctx context.Context, doc draft.Document, patient draft.Patient, destination string) (ledger.Outgoing, error)
	// Drop releases what Publish or Readdress has made and the ledger did not take: nobody will ask for it.
	Drop(ctx context.Context, made []ledger.Outgoing)
}
