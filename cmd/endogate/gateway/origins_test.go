package gateway_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
)

// asViewer has a page do what script, the body of an async function, does with two clients of the library dicomweb-client, and returns
// what it returned.
func asViewer(t *testing.T, page *peers.Page, web, reader, sender, script string) (answer map[string]any, failed string) {
	t.Helper()
	const client = `new DICOMwebClient.api.DICOMwebClient({url: %q, headers: {Authorization: "Bearer %s"}})`
	url := "http://" + web + "/dicom-web"
	peers.Evaluate[bool](page, fmt.Sprintf(`window.done = "", (async () => {
		const client = `+client+`, sender = `+client+`;
		%s
	})().then(value => { window.done = JSON.stringify({value}); }, error => { window.done = JSON.stringify({failed: String(error.message || error) + " " + (error.status || "")}); }), true`,
		url, reader, url, sender, script))
	page.Until(`window.done`)
	var all struct {
		Value  map[string]any
		Failed string
	}
	require.NoError(t, json.Unmarshal([]byte(peers.Evaluate[string](page, `window.done`)), &all))
	return all.Value, strings.TrimSpace(all.Failed)
}

// A viewer that another server gives to the browser, by dicomweb-client: it stores, searches and retrieves by a token where its origin is
// listed, and nothing where it is not.
func TestGateway_dicomwebClient(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	origin := peers.ViewerSite(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ""))
	g.replace("spool:", "auth: {required: true}\nspool:")
	g.replace(`peers: [{ae_title: "*"`, `peers: [{ae_title: WEB, hosts: [127.0.0.0/8]}, {ae_title: "*"`)
	g.replace("http: {listen", fmt.Sprintf("http: {origins: [%q], listen", origin))
	g.start()
	reader := lastLine(g.command("token", "create", "--name", "reader", "--role", "clinician", "--scope", "identify", "--expires", "1h"))
	sender := lastLine(g.command("token", "create", "--name", "web", "--role", "operator", "--scope", "send", "--expires", "1h"))
	still := drawn(dicomtest.Options{Study: "web", Instance: 1, Frames: 2, TransferSyntax: dicom.JPEGBaseline8Bit, More: dicom.Dataset{
		dicom.SpecificCharacterSet: dicom.Text{"ISO_IR 192"}, dicom.PatientName: dicom.Text{"Yamada^Hanako=山田^花子"},
	}})
	moving := video(t, dicomtest.Options{Study: "web", Instance: 2, Frames: 8, More: dicom.Dataset{dicom.CineRate: dicom.Ints{4}}}, panned(t, "2", "polyp-0dad158b"))
	var files []string
	for _, i := range []dicomBytes{still, moving} {
		file, err := os.ReadFile(i.file(t, filepath.Join(t.TempDir(), "i.dcm")))
		require.NoError(t, err)
		files = append(files, `Uint8Array.from(atob("`+base64.StdEncoding.EncodeToString(file)+`"), c => c.charCodeAt(0)).buffer`)
	}
	page := peers.OpenPage(t, origin, 800, 600)
	page.Until(`window.DICOMwebClient`)
	do := func(script string) (map[string]any, string) { return asViewer(t, page, g.web, reader, sender, script) }

	stored, failed := do(`
		const answer = JSON.parse(await sender.storeInstances({datasets: [` + strings.Join(files, ", ") + `]}));
		return {stored: answer["00081199"].Value.length, failed: answer["00081198"] === undefined};`)
	require.Empty(t, failed)
	assert.Equal(t, map[string]any{"stored": 2.0, "failed": true}, stored)

	answer, failed := do(fmt.Sprintf(`
		const still = %q, moving = %q;
		const text = (set, tag) => (set[tag].Value || [])[0];
		const bytes = parts => parts.map(p => p.byteLength);
		const find = () => client.searchForStudies({queryParams: {PatientName: "yamada*", limit: 5}});
		const found = async () => (await client.searchForInstances({queryParams: {PatientName: "yamada*", Modality: "ES"}})).length;
		while (await found() < 2) await new Promise(again => setTimeout(again, 50)); // the ledger comes behind the spool
		const studies = await find(), studyInstanceUID = text(studies[0], "0020000D"), of = {studyInstanceUID};
		const series = await client.searchForSeries({studyInstanceUID, queryParams: {Modality: "ES"}});
		const instances = await client.searchForInstances({studyInstanceUID, queryParams: {SOPInstanceUID: still, includefield: "all"}});
		of.seriesInstanceUID = text(instances[0], "0020000D") && text(instances[0], "0020000E");
		const metadata = await client.retrieveStudyMetadata(of);
		const one = {...of, sopInstanceUID: still}, film = {...of, sopInstanceUID: moving};
		const all = await client.retrieveInstanceMetadata(one);
		const part10 = await client.retrieveInstance(one);
		const whole = await client.retrieveStudy(of);
		const coded = await client.retrieveInstanceFrames({...one, frameNumbers: [1, 2], mediaTypes: [{mediaType: "image/jpeg", transferSyntaxUID: "1.2.840.10008.1.2.4.50"}]});
		const samples = await client.retrieveInstanceFrames({...one, frameNumbers: [2]});
		const [picture] = await client.retrieveInstanceFramesRendered({...one, frameNumbers: [1], mediaTypes: [{mediaType: "image/png"}]});
		const [small] = await client.retrieveInstanceThumbnail({...one, mediaTypes: [{mediaType: "image/jpeg"}]});
		const bulk = await client.retrieveBulkData({BulkDataURI: all[0]["7FE00010"].BulkDataURI});
		const [played] = await client.retrieveInstanceRendered({...film, mediaTypes: [{mediaType: "video/mp4"}]});
		const shot = await client.retrieveInstanceFrames({...film, frameNumbers: [8], mediaTypes: [{mediaType: "image/jpeg", transferSyntaxUID: "1.2.840.10008.1.2.4.50"}]});
		let gone = "";
		try { await client.retrieveInstanceMetadata({...one, sopInstanceUID: "1.2.3"}); } catch (e) { gone = e.status; }
		return {
			name: text(studies[0], "00100010"), studies: studies.length, series: series.length > 0, comment: text(instances[0], "00280008"), sets: metadata.length >= 2, name2: text(all[0], "00100010"),
			magic: String.fromCharCode(...new Uint8Array(part10, 128, 4)), whole: whole.length >= 2, coded: coded.length === 2 && new Uint8Array(coded[1])[0] === 0xFF, samples: bytes(samples),
			png: new Uint8Array(picture)[1], small: small.byteLength > 100, bulk: bulk.length, mp4: String.fromCharCode(...new Uint8Array(played, 4, 4)), shot: new Uint8Array(shot[0])[0], gone,
		};`, still.uid, moving.uid))
	require.Empty(t, failed)
	name := map[string]any{"Alphabetic": "Yamada^Hanako", "Ideographic": "山田^花子"}
	assert.Equal(t, map[string]any{
		"name": name, "studies": 1.0, "series": true, "comment": 2.0, "sets": true, "name2": name, "magic": "DICM", "whole": true, "coded": true, "samples": []any{64.0 * 48 * 3},
		"png": float64('P'), "small": true, "bulk": 2.0, "mp4": "ftyp", "shot": 255.0, "gone": 404.0,
	}, answer)

	_, failed = do(`await sender.searchForStudies(); return {};`)
	assert.Contains(t, failed, "403", "the token says what may be done, and the page is told")
	read, failed := do(`
		const direct = async (path, more) => { try { return (await fetch("http://` + g.web + `" + path, more)).status; } catch (e) { return "not read"; } };
		const token = {headers: {Authorization: "Bearer ` + reader + `"}};
		return {
			listed: await direct("/dicom-web/studies", token), none: await direct("/dicom-web/studies"), cookies: await direct("/dicom-web/studies", {...token, credentials: "include"}),
			api: await direct("/api/v1/studies", token), changed: await direct("/api/v1/parked/retry", {method: "POST", body: "{}", headers: {"Content-Type": "application/json"}}),
			deleted: await direct("/dicom-web/studies", {...token, method: "DELETE"}),
		};`)
	require.Empty(t, failed)
	assert.Equal(t, map[string]any{"listed": 200.0, "none": 401.0, "cookies": "not read", "api": "not read", "changed": "not read", "deleted": "not read"}, read)

	other := peers.OpenPage(t, peers.ViewerSite(t), 800, 600)
	other.Until(`window.DICOMwebClient`)
	_, failed = asViewer(t, other, g.web, reader, sender, `await client.searchForStudies(); return {};`)
	assert.NotEmpty(t, failed, "an origin that is not listed reads nothing")
}
