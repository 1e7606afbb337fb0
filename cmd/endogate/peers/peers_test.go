package peers

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFreePort: a port is one test's until that ends, though nobody listens on it yet, and can be listened on at once.
func TestFreePort(t *testing.T) {
	var addr string
	t.Run("its", func(t *testing.T) {
		given := map[int]bool{}
		for range 500 {
			port := FreePort(t)
			require.False(t, given[port], "given twice")
			given[port] = true
			require.Less(t, port, clientPorts())
			addr = loopback(port)
		}
		ln, err := net.Listen("tcp", addr)
		require.NoError(t, err)
		ln.Close()
		_, err = net.ListenPacket("udp", addr)
		assert.Error(t, err, "reserved")
	})
	reserved, err := net.ListenPacket("udp", addr)
	require.NoError(t, err, "the test that had it has ended")
	reserved.Close()
}
