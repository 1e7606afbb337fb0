package configs

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
)

// Blanks at either end of an AE title mean nothing: wherever one can stand they are left out when it is read, so that
// nothing that the configuration lets pass is refused later.
func TestParse_AETitlesAreTrimmed(t *testing.T) {
	c, err := parse([]byte(`
dicom: {ae_title: "ENDOGATE ", peers: [{ae_title: " SCOPE1 ", hosts: [127.0.0.1]}, {ae_title: "*", hosts: [127.0.0.1]}]}
routes: [{name: r, match: {calling_ae: ["SCOPE1 "]}, models: [m], destinations: [pacs]}]
destinations: [{name: pacs, kind: dicom, ae_title: " PACS", address: "127.0.0.1:104"}]
`), noEnvironment, Default())
	require.NoError(t, err)
	require.NoError(t, c.Validate())
	assert.Equal(t, dicom.AETitle("ENDOGATE"), c.DICOM.AETitle)
	assert.Equal(t, dicom.AETitle("SCOPE1"), c.DICOM.Peers[0].AETitle)
	assert.Equal(t, []dicom.AETitle{"SCOPE1"}, c.Routes[0].Match.CallingAE)
	assert.Equal(t, dicom.AETitle("PACS"), c.Destinations[0].AETitle)

	c, err = parse(nil, []string{"ENDOGATE_DICOM_AE_TITLE= SCOPEGATE "}, Default())
	require.NoError(t, err)
	assert.Equal(t, dicom.AETitle("SCOPEGATE"), c.DICOM.AETitle)
}

func TestValidate_AETitles(t *testing.T) {
	for _, title := range []dicom.AETitle{"", "   ", "SEVENTEEN_CHARS17", `A\B`, "TAB\t", "ÄE", "ENDOGATE "} {
		c := Default()
		c.DICOM.AETitle = title
		c.DICOM.Peers = []Peer{{AETitle: title, Hosts: []Host{{}}}}
		c.Destinations = []Destination{{Name: "pacs", Kind: "dicom", AETitle: title, Address: "127.0.0.1:104"}}
		c.Routes = []Route{{Name: "r", Match: Match{CallingAE: []dicom.AETitle{title}}, ForwardSource: true, Destinations: []string{"pacs"}}}
		err := c.Validate()
		for _, key := range []string{"dicom.ae_title", "dicom.peers[0].ae_title", "destinations[0].ae_title", "routes[0].match.calling_ae[0]"} {
			assert.ErrorContains(t, err, key+": ", "%q", title)
		}
	}
}

// Who can reach the page: only a loopback address cannot be reached from elsewhere.
func TestHTTP_Remote(t *testing.T) {
	for listen, want := range map[string]bool{
		"127.0.0.1:8080": false, "[::1]:8080": false, "localhost:0": false, "LocalHost:8080": false, "127.8.9.1:80": false, "[::ffff:127.0.0.1]:80": false,
		":8080": true, "0.0.0.0:8080": true, "10.1.2.3:8080": true, "gateway.hospital.example:8080": true, "localhost.example:80": true, "8080": true,
	} {
		c := Default()
		c.HTTP.Listen = listen
		assert.Equal(t, want, c.HTTP.Remote(), listen)
		c.HTTP.AllowRemote = true
		if strings.Contains(listen, ":") {
			assert.NoError(t, c.Validate(), listen)
		}
	}
}
