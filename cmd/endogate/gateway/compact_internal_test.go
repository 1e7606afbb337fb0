package gateway

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A ledger is not copied where the copy would fill the disk: the copy, and a tenth of it, has to find room.
func TestRoomToCompact(t *testing.T) {
	require.NoError(t, roomToCompact(100<<20, 110<<20, "/data"))
	require.EqualError(t, roomToCompact(100<<20, 110<<20-1, "/data"), "compact: the copy needs 110 MiB beside the ledger and 109 MiB are free in /data: make room first")
	require.NoError(t, roomToCompact(0, 0, "/data"))
}
