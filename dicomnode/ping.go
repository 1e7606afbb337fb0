package dicomnode

import (
	"context"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
)

// Echo asks the application entity called at addr whether it answers: C-ECHO over an association of its own. It returns the
// status and the time that the answer took.
func (c *Client) Echo(ctx context.Context, addr string, called dicom.AETitle) (dimse.Status, time.Duration, error) {
	assoc, err := c.Associate(ctx, addr, called, VerificationContexts())
	if err != nil {
		return 0, 0, err
	}
	started := time.Now()
	status, err := assoc.Echo(ctx)
	took := time.Since(started)
	if err != nil {
		_ = assoc.Abort()
		return 0, 0, err
	}
	return status, took, assoc.Release(ctx)
}
