package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

// Somebody asks of a frame why, of any class, layer and method, while the gateway works; the answer says the same of the frame as
// its analysis does. What cannot be asked is told with what can.
func TestGateway_explanations(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ""))
	g.replace("segment_size: 8MiB", "segment_size: 8MiB, retention: 1h")
	g.start()
	instance := readPart10(t, sample(t, "study1-01*")[0])
	storeAll(t, g.scp, instance)
	study := g.studyOf(instance)
	g.waitFor("the study to be delivered", func() bool { return g.study(study).Status == ledger.StudyDone })
	analysed := g.study(study).Instances[0].Analyses[0].Frames[0]

	path := func(study, sop dicom.UID, frame int, ext, query string) string {
		return fmt.Sprintf("http://%s/api/v1/studies/%s/instances/%s/frames/%d/explanation.%s%s", g.web, study, sop, frame, ext, query)
	}
	ask := func(target string) (int, []byte) {
		response, err := http.Get(target)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, body
	}
	for _, row := range []struct {
		query                        string
		class, against, method, note string
		rows                         int
	}{
		{"", "polyp", "", "gradcam", "AI, not verified", 10},
		{"?model=demo&method=gradient&class=normal-mucosa", "normal-mucosa", "", "gradient", "", 160},
		{"?against=normal-mucosa&method=hirescam", "polyp", "normal-mucosa", "hirescam", "", 10},
		{"?model=demo-colon&layer=" + url.QueryEscape("/layer3/layer3.1/conv2/Conv"), "polyp", "", "gradcam", "", 10},
		{"?method=guided-gradcam&class=top", "polyp", "", "guided-gradcam", "", 160},
	} {
		code, body := ask(path(study, instance.uid, 1, "json", row.query))
		require.Equal(t, http.StatusOK, code, "%s: %s", row.query, body)
		var e admin.Explanation
		require.NoError(t, json.Unmarshal(body, &e))
		assert.Equal(t, []string{row.class, row.against, row.method, "demo-colon"}, []string{e.Class, e.Against, e.Method, e.Model})
		assert.Equal(t, row.rows, e.Grid.Rows, row.query)
		assert.Len(t, e.Grid.Values, e.Grid.Rows*e.Grid.Columns)
		assert.Contains(t, e.Notes, "AI, not verified")
		require.Len(t, e.Probabilities, len(analysed.Scores))
		for _, p := range e.Probabilities {
			assert.InDelta(t, analysed.Scores[p.Class], p.Probability, 1e-5)
		}
		code, body = ask(path(study, instance.uid, 1, "png", row.query))
		require.Equal(t, http.StatusOK, code, row.query)
		picture, err := png.Decode(bytes.NewReader(body))
		require.NoError(t, err)
		assert.Greater(t, picture.Bounds().Dx(), 100)
		if dir := os.Getenv("ENDOGATE_TEST_PICTURES"); dir != "" {
			require.NoError(t, os.WriteFile(filepath.Join(dir, e.Method+"-"+e.Class+".png"), body, 0o600))
		}
	}
	read := func(target string, into any) {
		code, body := ask(target)
		require.Equal(t, http.StatusOK, code, "%s: %s", target, body)
		require.NoError(t, json.Unmarshal(body, into))
	}
	explained := func(query string) (e admin.Explanation) {
		read(path(study, instance.uid, 1, "json", query), &e)
		return e
	}
	// As numbers over the frame: zero where the model masks, the most where the grid has it.
	whole := explained("?as=map")
	require.Len(t, whole.Map.Values, whole.Map.Width*whole.Map.Height)
	assert.LessOrEqual(t, max(whole.Map.Width, whole.Map.Height), 512)
	assert.EqualValues(t, 255, slices.Max(whole.Map.Values))
	assert.Empty(t, whole.Grid.Values)
	grid := explained("").Grid.Values
	assert.InDelta(t, slices.Max(grid), whole.Map.Max, 0.3*float64(slices.Max(grid)), "of the maximum, between the centres of cells")
	require.NotEmpty(t, whole.Map.Unseen)
	dark := whole.Map.Unseen[0]
	at := func(m *admin.Laid, x, y int) byte { return m.Values[y*m.Height/m.Rows*m.Width+x*m.Width/m.Columns] }
	assert.Zero(t, at(whole.Map, (dark[0]+dark[2])/2, (dark[1]+dark[3])/2))
	assert.True(t, explained("?as=map&method=gradient-x-input").Map.Signed)

	// What if: a frame that is all black but for its border says something else, and where it is black nothing is shown. Nothing of it stays.
	black := explained(fmt.Sprintf("?as=map&class=polyp&black=%d,%d,%d,%d", 0, 0, whole.Map.Columns/2, whole.Map.Rows))
	assert.Contains(t, black.Map.Unseen, [4]int{0, 0, whole.Map.Columns / 2, whole.Map.Rows})
	assert.Zero(t, at(black.Map, whole.Map.Columns/4, whole.Map.Rows/4))
	assert.NotEqual(t, whole.Probabilities[0], black.Probabilities[0])
	assert.Equal(t, whole.Probabilities, explained("?as=none").Probabilities)
	assert.Nil(t, explained("?as=none").Map)
	assert.InDelta(t, whole.Probabilities[0].Probability, explained("?as=none&border=crop").Probabilities[0].Probability, 1e-6, "the manifest crops it too")
	assert.Equal(t, analysed.Scores, g.study(study).Instances[0].Analyses[0].Frames[0].Scores)

	var f admin.Faithfulness
	read(strings.Replace(path(study, instance.uid, 1, "json", "?class=polyp"), "explanation", "faithfulness", 1), &f)
	require.Len(t, f.Deletion.Probabilities, 33)
	assert.InDelta(t, whole.Probabilities[0].Probability, f.Deletion.Probabilities[0], 1e-5)
	assert.InDelta(t, whole.Probabilities[0].Probability, f.Insertion.Probabilities[32], 1e-5)

	var n admin.Network
	read(fmt.Sprintf("http://%s/api/v1/models/demo/network", g.web), &n)
	require.Len(t, n.Layers, 20)
	assert.Equal(t, admin.NetworkLayer{Name: "/stem/stem.0/Conv", Channels: 32, Rows: 80, Columns: 80, Sees: 7, Block: true}, n.Layers[0])
	assert.True(t, n.Layers[19].Last)
	blocks := 0
	for _, l := range n.Layers {
		if l.Block {
			blocks++
		}
	}
	assert.Equal(t, 4, blocks)
	// A file that is part of no record says the same, and becomes part of none.
	file, err := os.ReadFile(sample(t, "study1-01*")[0])
	require.NoError(t, err)
	capture, err := os.ReadFile("../../../testdata/frames/polyp-0dad158b.jpg")
	require.NoError(t, err)
	for name, body := range map[string][]byte{"DICOM": file, "JPEG": capture} {
		request, err := http.NewRequest(http.MethodPost, fmt.Sprintf("http://%s/api/v1/try/explanation.json?as=map", g.web), bytes.NewReader(body))
		require.NoError(t, err)
		request.Header.Set(admin.ActionHeader, "1")
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		var e admin.Explanation
		require.NoError(t, json.NewDecoder(response.Body).Decode(&e), name)
		response.Body.Close()
		assert.InDelta(t, whole.Probabilities[0].Probability, e.Probabilities[0].Probability, 0.02, name)
		assert.EqualValues(t, 255, slices.Max(e.Map.Values), name)
	}
	var studies struct{ Total int }
	read(fmt.Sprintf("http://%s/api/v1/studies", g.web), &studies)
	assert.Equal(t, 1, studies.Total)
	assert.Equal(t, 1, g.study(study).InstanceCount)
	heatmap := g.study(study).Objects[0]
	for target, want := range map[string]struct {
		code int
		says string
	}{
		path(study, instance.uid, 1, "png", "?class=tea"):      {422, `no class \"tea\"; it has polyp`},
		path(study, instance.uid, 1, "png", "?model=tea"):      {422, "there are demo-colon"},
		path(study, instance.uid, 1, "png", "?method=tea"):     {422, "there are gradcam"},
		path(study, instance.uid, 1, "png", "?layer=tea"):      {422, "no such layer"},
		path(study, instance.uid, 1, "png", "?layer=all"):      {422, "name it"},
		path(study, instance.uid, 1, "json", "?against=polyp"): {422, "name another class"},
		path(study, instance.uid, 2, "png", ""):                {404, "what"},
		path(study, instance.uid, 1, "png", "?colours=tea"):    {422, "jet turbo viridis inferno"},
		path(study, instance.uid, 1, "png", "?black=1,2,3"):    {400, "left,top,right,bottom"},
		path(study, instance.uid, 1, "png", "?black=9,2,3,4"):  {400, "without an inside"},
		path(study, instance.uid, 1, "json", "?colours=jet"):   {400, "not known here"},
		path(study, instance.uid, 1, "json", "?as=tea"):        {400, "not one of"},
		path("1.2.3", instance.uid, 1, "png", ""):              {404, "no such instance"},
		path(study, "1.2.3", 1, "json", ""):                    {404, "what"},
		path(study, heatmap.SOPInstanceUID, 1, "png", ""):      {422, "made here"},
	} {
		code, body := ask(target)
		assert.Equal(t, want.code, code, target)
		assert.Contains(t, string(body), want.says)
	}

	// What a person has looked at is sent as an object of the study, once; it is no finding, and what is not so is not sent.
	digest := ""
	send := func(study, sop dicom.UID, query string) (code int, sent admin.SentMap, says string) {
		request, err := http.NewRequest(http.MethodPost, fmt.Sprintf("http://%s/api/v1/studies/%s/instances/%s/frames/1/map%s", g.web, study, sop, query), strings.NewReader(`{"author": "Anna"`+digest+`}`))
		require.NoError(t, err)
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		if response.StatusCode == http.StatusOK {
			require.NoError(t, json.Unmarshal(body, &sent))
		}
		return response.StatusCode, sent, string(body)
	}
	was := g.study(study)
	code, sent, says := send(study, instance.uid, "?class=normal-mucosa&method=hirescam")
	require.Equal(t, http.StatusOK, code, says)
	assert.Equal(t, admin.SentMap{SOPInstanceUID: sent.SOPInstanceUID, Made: true, Destinations: []string{"pacs"}}, sent)
	code, again, says := send(study, instance.uid, "?class=normal-mucosa&method=hirescam&opacity=40")
	require.Equal(t, http.StatusOK, code, says)
	assert.Equal(t, admin.SentMap{SOPInstanceUID: sent.SOPInstanceUID, Destinations: []string{}}, again, "the same, with the opacity of the configuration")
	_, again, _ = send(study, instance.uid, "")
	assert.Equal(t, []any{heatmap.SOPInstanceUID, false}, []any{again.SOPInstanceUID, again.Made}, "the gateway's own heatmap")
	g.waitFor("the map to be delivered", func() bool { return g.study(study).Status == ledger.StudyDone })
	text, err := os.ReadFile(scp.Files(t)[string(sent.SOPInstanceUID)])
	require.NoError(t, err)
	assertConforms(t, text, "map")
	for _, said := range []string{"AI, not verified", "HIRESCAM", `"normal-mucosa"`} {
		assert.Contains(t, string(text), said)
	}
	is := g.study(study)
	assert.Equal(t, was.Instances, is.Instances, "no finding")
	assert.Len(t, is.Objects, len(was.Objects)+1)
	assert.Equal(t, deliveredReports(was), deliveredReports(is))
	assert.Contains(t, fmt.Sprint(is.Timeline), "Anna (unauthenticated)")
	for query, want := range map[string]int{"?black=1,1,9,9": 422, "?border=crop": 422, "?class=tea": 422, "?as=map": 400} {
		code, _, says := send(study, instance.uid, query)
		assert.Equal(t, want, code, "%s: %s", query, says)
	}
	digest = `, "digest": "0"`
	code, _, says = send(study, instance.uid, "?class=normal-mucosa&method=gradcam")
	assert.Equal(t, http.StatusConflict, code, says)
	digest = ""
	code, _, _ = send(study, "1.2.3", "")
	assert.Equal(t, http.StatusNotFound, code)
	assert.Contains(t, g.command("map", string(study), string(instance.uid), "--class", "normal-mucosa", "--method", "layercam"), "is made and on its way to pacs")

	g.Stop()
	assert.Contains(t, g.command("ledger", "rebuild"), "actions done again")
	g.start()
	objects := map[dicom.UID]string{}
	for _, o := range g.study(study).Objects {
		objects[o.SOPInstanceUID] = o.Purpose
	}
	assert.Equal(t, "map", objects[sent.SOPInstanceUID], "the spool has it")
	assert.Len(t, objects, len(was.Objects)+2)
	found := fmt.Sprintf("http://%s/dicom-web/studies/%s/instances?SOPInstanceUID=%s", g.web, study, sent.SOPInstanceUID)
	shown, _ := ask(found)
	assert.Equal(t, http.StatusOK, shown)
	g.command("retract", "--study", string(study), "--reason", "another patient's", "--author", "Anna")
	shown, _ = ask(found)
	assert.Equal(t, http.StatusNoContent, shown, "it is taken back too")
	code, _, says = send(study, instance.uid, "?class=normal-mucosa&method=gradient")
	assert.Equal(t, http.StatusConflict, code, says)
	assert.Contains(t, says, "taken back")
}
