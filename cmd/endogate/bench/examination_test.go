//go:build bench

package bench_test

import (
	"flag"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
)

var (
	minutes = flag.Int("minutes", 3, "of 1920 x 1080 pixels at 25 frames/s that the recording of TestExamination takes")
	clips   = flag.String("clip", "off", "the form of the heatmap clips that TestExamination has made of it")
)

// TestExamination sends the recording of an examination to a gateway with the demo model, which samples a frame a second, and measures
// until its results have arrived, and the memory of the gateway and its children until then.
func TestExamination(t *testing.T) {
	const rate = 25
	sink := newSink(t)
	gateway := endogate(t, filepath.Join(folder(t), "endogate"), fmt.Sprintf(`models: [{dir: %q}]
routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [sink], clip: %q}]
destinations: [{name: sink, kind: dicom, ae_title: SINK, address: %q}]
exam: {quiet: 1s}
`, filepath.Join(peers.Root(t), "testdata", "models", "demo"), *clips, sink.addr))
	film := looped(t, recorded(t, 60*rate), *minutes)
	ds, header := dicomtest.Video(dicomtest.Options{TransferSyntax: videoH264, Rows: 1080, Columns: 1920, Frames: *minutes * 60 * rate, More: dicom.Dataset{dicom.CineRate: dicom.Ints{rate}}}, film, 1)
	tpl := newTemplate("recording", ds, header, videoH264)

	mostResident, mostTaken := watchMemory(gateway.pid), watch(gateway.pid, 100*time.Millisecond, taken)
	begin := time.Now()
	if _, err := send(t.Context(), gateway, tpl, []object{{uid: header.SOPInstanceUID, head: tpl.head, tail: tpl.tail}}, 1); err != nil {
		t.Fatal(err)
	}
	stored := time.Since(begin)
	var study admin.Study
	peers.Wait(t, time.Duration(*minutes)*3*time.Minute, "the examination to be delivered", func() bool {
		return getJSON(gateway.web+"/api/v1/studies/"+string(header.StudyInstanceUID), &study) == nil && study.Status == "done"
	})
	took, most, once := time.Since(begin), mostResident(), mostTaken()
	if len(study.Videos) != 1 || study.Videos[0].State != "done" {
		t.Fatalf("it was not analysed: %+v", study.Videos)
	}
	v := study.Videos[0]
	table(fmt.Sprintf("A recording of %d minutes, 1920 x 1080 at %d frames/s, H.264, %d MB; demo model, a sample a second, key frames with heatmaps, clips %s", *minutes, rate, len(ds)/1e6, *clips),
		[]string{"frames", "analysed", "s until it is stored", "s until all is delivered", "× its own length", "resident MB of gateway and children, at most", "with shared pages once"},
		[][]string{{strconv.Itoa(v.Frames), strconv.Itoa(v.Analysed), digits(stored.Seconds()), digits(took.Seconds()), digits(took.Minutes() / float64(*minutes)), digits(most), digits(once)}})
}
