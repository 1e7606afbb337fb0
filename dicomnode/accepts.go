package dicomnode

import (
	"context"
	"slices"

	"endogate/dicomnode/dicom"
)

// mostContexts is how many presentation contexts one association has (PS3.8 9.3.2.2: odd IDs up to 255).
const mostContexts = 128

// Acceptance is a peer's answer to a SOP class in a transfer syntax.
type Acceptance struct {
	InstanceSyntax
	Result ContextResult
}

// Accepts asks the application entity called at addr which instances it takes: it proposes a presentation context for each pair of
// SOP class and transfer syntax, over as many associations as that needs, one after the other, and sends nothing. The answers are in
// the order of the pairs. Errors are those of Associate.
func (c *Client) Accepts(ctx context.Context, addr string, called dicom.AETitle, pairs []InstanceSyntax) ([]Acceptance, error) {
	all := make([]Acceptance, 0, len(pairs))
	for some := range slices.Chunk(pairs, mostContexts) {
		propose := make([]PresentationContext, len(some))
		for i, p := range some {
			propose[i] = PresentationContext{AbstractSyntax: p.SOPClassUID, TransferSyntaxes: []dicom.UID{p.TransferSyntaxUID}}
		}
		assoc, err := c.Associate(ctx, addr, called, propose)
		if err != nil {
			return nil, err
		}
		for i, pc := range assoc.Contexts {
			all = append(all, Acceptance{some[i], pc.Result})
		}
		if err := assoc.Release(ctx); err != nil {
			return nil, err
		}
	}
	return all, nil
}
