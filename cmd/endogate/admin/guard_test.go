package admin

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKnownHost(t *testing.T) {
	hosts := []string{"gateway.hospital.example"}
	for host, want := range map[string]bool{
		"127.0.0.1:8080": true, "10.1.2.3": true, "[::1]:8080": true, "[fe80::1]": true, "localhost": true, "LOCALHOST:80": true,
		"Gateway.Hospital.example:443": true, "evil.example": false, "": false, "127.0.0.1.evil.example": false, "localhost.evil.example:80": false,
	} {
		require.Equal(t, want, knownHost(host, hosts), host)
	}
}

// A page that was drawn for one person does nothing in the name of another, who has signed in since in another tab.
func TestDrawnForAnother(t *testing.T) {
	s := newServer(t, newHospital(t))
	for name, code := range map[string]int{"": 200, "Anna": 409, "%zz": 409} {
		w := ask(s.Handler(), "POST", "/api/v1/parked/delivery-42/retry", ActionHeader, "1", PersonHeader, name)
		require.Equal(t, code, w.Code, "%q: %s", name, w.Body)
	}
}
