package dimse_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dimse"
)

func TestStatus(t *testing.T) {
	for _, row := range []struct {
		status    dimse.Status
		class     dimse.Class
		temporary bool
		text      string
	}{
		{dimse.Success, dimse.ClassSuccess, false, "0000 success"},
		{0x0001, dimse.ClassWarning, false, "0001 warning"},
		{dimse.AttributeListWarning, dimse.ClassWarning, false, "0107 attribute list warning"},
		{dimse.AttributeValueOutOfRange, dimse.ClassWarning, false, "0116 attribute value out of range"},
		{dimse.CoercionOfDataElements, dimse.ClassWarning, false, "B000 coercion of data elements"},
		{0xBFFF, dimse.ClassWarning, false, "BFFF warning"},
		{dimse.ProcessingFailure, dimse.ClassFailure, true, "0110 processing failure"},
		{dimse.DuplicateSOPInstance, dimse.ClassFailure, false, "0111 duplicate SOP instance"},
		{dimse.SOPClassNotSupported, dimse.ClassFailure, false, "0122 SOP class not supported"},
		{dimse.UnrecognizedOperation, dimse.ClassFailure, false, "0211 unrecognised operation"},
		{dimse.ResourceLimitation, dimse.ClassFailure, true, "0213 resource limitation"},
		{dimse.OutOfResources, dimse.ClassFailure, true, "A700 out of resources"},
		{0xA702, dimse.ClassFailure, true, "A702 out of resources: cannot perform sub-operations"},
		{0xA7FF, dimse.ClassFailure, true, "A7FF out of resources"},
		{dimse.MoveDestinationUnknown, dimse.ClassFailure, false, "A801 move destination unknown"},
		{dimse.DataSetDoesNotMatchSOPClass, dimse.ClassFailure, false, "A900 data set does not match SOP class"},
		{0xC123, dimse.ClassFailure, false, "C123 cannot understand"},
		{dimse.Canceled, dimse.ClassCancel, false, "FE00 cancelled"},
		{dimse.PendingMatches, dimse.ClassPending, false, "FF00 pending"},
		{dimse.PendingWarnings, dimse.ClassPending, false, "FF01 pending, optional keys not supported"},
		{0x7777, dimse.ClassFailure, false, "7777 failure"},
	} {
		require.Equal(t, row.class, row.status.Class(), row.text)
		require.Equal(t, row.temporary, row.status.Temporary(), row.text)
		require.Equal(t, row.text, row.status.String())
	}
}

func TestStatusOf(t *testing.T) {
	refused := &dimse.Error{Status: dimse.CannotUnderstand, Comment: "no patient module", Err: errors.New("secret")}
	for _, row := range []struct {
		err     error
		want    dimse.Status
		comment string
	}{
		{nil, dimse.Success, ""},
		{refused, dimse.CannotUnderstand, "no patient module"},
		{fmt.Errorf("receive: %w", refused), dimse.CannotUnderstand, "no patient module"},
		{&os.PathError{Op: "write", Path: "/x", Err: syscall.ENOSPC}, dimse.OutOfResources, ""},
		{fmt.Errorf("spool: %w", syscall.EDQUOT), dimse.OutOfResources, ""},
		{syscall.EMFILE, dimse.OutOfResources, ""},
		{&os.PathError{Op: "open", Path: "/x", Err: syscall.EPERM}, dimse.OutOfResources, ""},
		{fmt.Errorf("spool: %w", syscall.EROFS), dimse.OutOfResources, ""},
		{fmt.Errorf("sync: %w", context.DeadlineExceeded), dimse.OutOfResources, ""},
		{context.Canceled, dimse.OutOfResources, ""},
		{os.ErrDeadlineExceeded, dimse.OutOfResources, ""},
		{errors.New("anything else"), dimse.ProcessingFailure, ""},
	} {
		require.Equal(t, row.want, dimse.StatusOf(row.err), row.err)
		require.Equal(t, row.comment, dimse.CommentOf(row.err))
	}
}

func TestError(t *testing.T) {
	cause := errors.New("disk")
	err := &dimse.Error{Status: dimse.OutOfResources, Comment: "Doe^John", Err: cause}
	require.ErrorIs(t, err, cause)
	require.True(t, err.Temporary())
	require.Equal(t, "dimse: status A700 out of resources: disk", err.Error())
	require.False(t, strings.Contains(err.Error(), "Doe"), "a comment may be the peer's")
	require.Equal(t, "dimse: status 0211 unrecognised operation", (&dimse.Error{Status: dimse.UnrecognizedOperation}).Error())
}

func TestField(t *testing.T) {
	require.Equal(t, "C-STORE-RQ", dimse.CStoreRQ.String())
	require.Equal(t, "N-ACTION-RSP", (dimse.NActionRQ | dimse.ResponseBit).String())
	require.Equal(t, "command 1234H", dimse.Field(0x1234).String())
}
