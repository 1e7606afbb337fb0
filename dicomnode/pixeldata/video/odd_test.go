package video_test

import (
	"bytes"
	"image/color"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/pixeldata/video"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// made is a file that ffmpeg makes of these arguments, whose first input may be another file.
func made(t testing.TB, ending, arguments string, input ...byte) []byte {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "in"), input, 0o600))
	cmd := exec.Command("ffmpeg", append(strings.Fields("-nostdin -v error -y "+arguments), "out."+ending)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	b, err := os.ReadFile(filepath.Join(dir, "out."+ending))
	require.NoError(t, err)
	return b
}

// mucosa is a red, coded with a matrix and a range (709, 601, 2020; tv, pc) in a pixel format.
func mucosa(size, matrix, span, format string) string {
	return "-f lavfi -i color=c=0xC83C28:s=" + size + ":r=25:d=0.12,format=gbrp -vf scale=out_color_matrix=bt" + matrix + ":out_range=" + span + ",format=" + format + " "
}

// A colour is what it was, however the stream or its container says that it is coded, or where neither does; whatever else lies in the
// container. What a worker elsewhere is given has it, too.
func TestClip_colours(t *testing.T) {
	installed.Require(t, "ffmpeg")
	red, grey := color.RGBA{200, 60, 40, 255}, color.RGBA{100, 100, 100, 255}
	const x264, small = "-c:v libx264 -qp 4 ", "64x48"
	unsaid := made(t, "mp4", mucosa(small, "709", "tv", "yuv420p")+x264)
	for _, row := range []struct {
		name, syntax, size string
		stream             func(t testing.TB) []byte
		want               color.RGBA
	}{
		{"BT.709", h264, small, making("mp4", mucosa(small, "709", "tv", "yuv420p")+x264+"-colorspace bt709 -color_range tv"), red},
		{"BT.601 in high definition", h264, "1280x720", making("mp4", mucosa("1280x720", "601", "tv", "yuv420p")+x264+"-colorspace smpte170m"), red},
		{"BT.470 BG", h264, small, making("ts", mucosa(small, "601", "tv", "yuv420p")+x264+"-colorspace bt470bg"), red},
		{"the container alone says BT.709", h264, small, func(t testing.TB) []byte {
			return made(t, "mp4", "-i in -c copy -colorspace bt709 -color_primaries bt709 -color_trc bt709 -movflags write_colr", unsaid...)
		}, red},
		{"full range", h264, small, making("ts", mucosa(small, "709", "pc", "yuv420p")+x264+"-colorspace bt709 -color_range pc"), red},
		{"full range without a matrix in high definition", h264, "1280x720", making("ts", mucosa("1280x720", "709", "pc", "yuv420p")+x264+"-color_range pc"), red},
		{"nothing said, high definition", h264, "1280x720", making("mp4", mucosa("1280x720", "709", "tv", "yuv420p")+x264), red},
		{"nothing said, PAL", h264, "720x576", making("mp4", mucosa("720x576", "601", "tv", "yuv420p")+x264), red},
		{"HEVC of ten bits", hevc, small, making("mp4", mucosa(small, "2020", "tv", "yuv420p10le")+"-c:v libx265 -x265-params log-level=none:qp=4 -colorspace bt2020nc"), red},
		{"RGB", h264, small, making("mp4", mucosa(small, "709", "pc", "gbrp")+"-c:v libx264rgb -qp 4"), red},
		{"grey", h264, small, making("mp4", "-f lavfi -i color=c=0x646464:s=64x48:r=25:d=0.12 -pix_fmt gray "+x264), grey},
		{"sides that are odd", mpeg2, "719x575", making("mpg", mucosa("719x575", "601", "tv", "yuv420p")+"-c:v mpeg2video -q:v 2"), red},
		{"pixels that are not square, fields", mpeg2, "720x576", making("ts", mucosa("720x576", "601", "tv", "yuv420p,setsar=16/15,setfield=tff")+"-flags +ildct+ilme -c:v mpeg2video -q:v 2 -top 1"), red},
		{"rotated by its container", h264, small, making("mov", mucosa(small, "601", "tv", "yuv420p")+x264+"-metadata:s:v rotate=90 -timecode 01:00:00:00"), red},
		{"sound first, another video behind", h264, small, making("mp4", "-f lavfi -i color=c=0xC83C28:s=64x48:r=25:d=0.12 -f lavfi -i color=c=blue:s=32x32:d=0.12 -f lavfi -i sine=d=0.4 -map 2 -map 0 -map 1 -pix_fmt yuv420p "+x264+"-c:a aac"), red},
		{"sound behind, in a transport stream", h264, small, making("ts", "-f lavfi -i color=c=0xC83C28:s=64x48:r=25:d=0.12 -f lavfi -i sine=d=0.4 -pix_fmt yuv420p "+x264+"-c:a mp2"), red},
		{"a cover picture first", h264, small, making("mp4", "-f lavfi -i color=c=0xC83C28:s=64x48:r=25:d=0.12 -f lavfi -i color=c=blue:s=32x32:d=0.04 -map 1 -map 0 -c:v:0 mjpeg -c:v:1 libx264 -qp 4 -pix_fmt yuv420p -disposition:v:0 attached_pic"), red},
		{"in parts", h264, small, making("mp4", mucosa(small, "601", "tv", "yuv420p")+x264+"-g 2 -movflags frag_keyframe+empty_moov"), red},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w, h, _ := strings.Cut(row.size, "x")
			columns, _ := strconv.Atoi(w)
			rows, _ := strconv.Atoi(h)
			i := instance(t, row.syntax, dicomtest.Options{Frames: 3, Rows: rows, Columns: columns}, row.stream(t), 1)
			taken := open(t, i)
			for name, c := range map[string]*video.Clip{"taken": taken, "bare": bare(t, taken, i)} {
				assert.Empty(t, c.Note(), name)
				f, err := c.Frame(t.Context(), 2)
				require.NoError(t, err, name)
				got := f.Image.RGBAAt(columns/2, rows/2)
				for channel, d := range []int{int(got.R) - int(row.want.R), int(got.G) - int(row.want.G), int(got.B) - int(row.want.B)} {
					assert.InDelta(t, 0, d, 4, "%s: channel %d of %v", name, channel, got)
				}
			}
		})
	}
}

func making(ending, arguments string) func(testing.TB) []byte {
	return func(t testing.TB) []byte { return made(t, ending, arguments) }
}

// Streams that were cut, joined or padded: numbers are still those of the frames that are there, and what is not right is said.
func TestClip_odd(t *testing.T) {
	installed.Require(t, "ffmpeg")
	levels25 := strings.Join(dicomtest.Levels(25), " ")
	whole := made(t, "mp4", levels25+" -t 2 -pix_fmt yuv420p -c:v libx264 -qp 8 -g 10 -bf 2")
	opened := made(t, "ts", levels25+" -t 2 -pix_fmt yuv420p -c:v libx264 -qp 8 -x264-params open-gop=1:bframes=2:keyint=10:b-adapt=0:scenecut=0")
	for _, row := range []struct {
		name   string
		stream []byte
		says   int // Number of Frames
		more   dicom.Dataset
		pieces int

		frames int
		first  int           // which of the levels its first frame is
		last   time.Duration // when the last frame begins
		note   string
	}{
		{name: "an edit list that begins within a group", stream: made(t, "mp4", "-ss 0.6 -i in -c copy", whole...), says: 40, frames: 40, first: 11, last: 1560 * time.Millisecond},
		{name: "fragments that are cut anywhere", stream: made(t, "h264", "-i in -c copy", whole...), says: 50, pieces: 37, frames: 50, first: 1, last: 1960 * time.Millisecond},
		{name: "padding behind the end", stream: append(bytes.Clone(whole), 0, 0, 0, 0), says: 50, frames: 50, first: 1, last: 1960 * time.Millisecond},
		{name: "Frame Time of 0", stream: whole, says: 50, more: dicom.Dataset{dicom.FrameTime: dicom.Text{"0"}}, frames: 50, first: 1, last: 1960 * time.Millisecond},
		{name: "Frame Time and Cine Rate disagree", stream: whole, says: 50, more: dicom.Dataset{dicom.FrameTime: dicom.Text{"20"}, dicom.CineRate: dicom.Ints{10}}, frames: 50, first: 1, last: 980 * time.Millisecond},
		{name: "cut before a group whose first frames need the one before", stream: made(t, "ts", "-ss 0.5 -copyts -i in -c copy", opened...), says: 30, frames: 30, first: 21, last: 1160 * time.Millisecond},
		{name: "fewer frames are said", stream: whole, says: 30, frames: 30, first: 1, last: 1160 * time.Millisecond, note: "has 50 frames, of which the 30"},
		{name: "more frames are said", stream: whole, says: 70, frames: 50, first: 1, last: 1960 * time.Millisecond, note: "has 50 frames, not 70"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			i := instance(t, h264, dicomtest.Options{Frames: row.says, More: row.more}, row.stream, max(row.pieces, 1))
			taken := open(t, i)
			for name, c := range map[string]*video.Clip{"taken": taken, "bare": bare(t, taken, i)} {
				require.Equal(t, row.frames, c.Count(), name)
				assert.Contains(t, c.Note(), row.note, name)
				assert.Equal(t, row.note == "", c.Note() == "", c.Note())
				assert.InDelta(t, row.last, c.Time(c.Count()), float64(2*time.Millisecond), name)
				came, lost := levels(t, c, 1, 2, 3, 6, row.frames)
				assert.Empty(t, lost, name)
				for n, level := range came {
					assert.InDelta(t, dicomtest.Level(row.first+n-1), level, 3, "%s: frame %d", name, n)
				}
			}
		})
	}
}

// Where the size of pictures changes in the middle, those behind are not shown cut to that of the first: of a video they are not decoded, and a
// signal is begun anew.
func TestSignal_sizeThatChanges(t *testing.T) {
	installed.Require(t, "ffmpeg")
	joined := append(made(t, "ts", strings.Join(dicomtest.Levels(25), " ")+" -t 0.4 -pix_fmt yuv420p -c:v libx264 -qp 8"),
		made(t, "ts", "-f lavfi -i color=c=0xC83C28:s=96x80:r=25 -t 0.4 -pix_fmt yuv420p -c:v libx264 -output_ts_offset 0.4")...)
	c := open(t, instance(t, h264, dicomtest.Options{Frames: 20}, joined, 1))
	require.Equal(t, 20, c.Count())
	came, lost := levels(t, c, 1, 10, 11, 15, 20)
	assert.Len(t, came, 2)
	assert.Equal(t, []int{11, 15, 20}, lost)
	name := filepath.Join(t.TempDir(), "joined.ts")
	require.NoError(t, os.WriteFile(name, joined, 0o600))
	shots, err := seen(t, video.Signal{Name: name}, 0)
	require.ErrorContains(t, err, "another size now, 96 x 80")
	require.Len(t, shots, 10)
}

// Of a stream without a container no frame comes under the number of another, where the size of pictures changes and changes back.
func TestClip_sizeThatChangesBack(t *testing.T) {
	installed.Require(t, "ffmpeg")
	part := made(t, "h264", strings.Join(dicomtest.Levels(25), " ")+" -frames:v 10 -pix_fmt yuv420p -c:v libx264 -qp 8 -bf 0")
	other := made(t, "h264", "-f lavfi -i color=c=0xC83C28:s=96x80:r=25 -frames:v 10 -pix_fmt yuv420p -c:v libx264 -bf 0")
	c := open(t, instance(t, h264, dicomtest.Options{Frames: 30}, append(append(bytes.Clone(part), other...), part...), 1))
	require.Equal(t, 30, c.Count())
	for _, numbers := range [][]int{{1, 5, 11, 15, 21, 25}, {3}, {23}, each(1, 30, 1)} {
		came, lost := levels(t, c, numbers...)
		assert.Len(t, lost, len(numbers)-len(came))
		for n, level := range came {
			assert.InDelta(t, dicomtest.Level((n-1)%20+1), level, 3, "frame %d of %v", n, numbers)
			assert.NotContains(t, each(11, 20, 1), n)
		}
		if numbers[0] <= 10 {
			assert.NotEmpty(t, came)
		}
	}
}

// A signal in high definition that does not say how its colours are coded has those of BT.709 from its first frame on, and one with sound ends as others do.
func TestSignal_colours(t *testing.T) {
	installed.Require(t, "ffmpeg")
	name := filepath.Join(t.TempDir(), "clip.mp4")
	require.NoError(t, os.WriteFile(name, made(t, "mp4", "-f lavfi -i sine=d=0.12 "+mucosa("1280x720", "709", "tv", "yuv420p")+"-c:a aac -c:v libx264 -qp 4"), 0o600))
	shots, err := seen(t, video.Signal{Name: name}, 0)
	require.NoError(t, err)
	require.Len(t, shots, 3)
	for i, shot := range shots {
		assert.Equal(t, []int{i + 1, 1}, []int{shot.Number, shot.Connection})
		assert.InDelta(t, 60, int(shot.RGBAAt(640, 360).G), 4)
	}
}

// A stream of another kind than the transfer syntax says is decoded, in whatever container or in none, and what it is stands beside what is said; a worker elsewhere
// has the same frames. What is none of a kind that is decoded says so, too.
func TestClip_otherThanItsSyntax(t *testing.T) {
	installed.Require(t, "ffmpeg")
	levels25 := strings.Join(dicomtest.Levels(25), " ") + " -t 1 -pix_fmt yuv420p "
	codings := map[string]struct{ syntax, coding, codec, bare string }{
		"H.264":  {h264, "H.264", "-c:v libx264 -qp 8 -bf 2", "h264"},
		"HEVC":   {hevc, "HEVC", "-c:v libx265 -x265-params log-level=none:qp=8", "hevc"},
		"MPEG-2": {mpeg2, "MPEG-2", "-c:v mpeg2video -q:v 2", "m2v"},
	}
	for _, of := range codings {
		for _, ending := range []string{of.bare, "ts", "mp4"} {
			stream := made(t, ending, levels25+of.codec)
			for _, said := range codings {
				t.Run(of.coding+"."+ending+" as "+said.coding, func(t *testing.T) {
					t.Parallel()
					i := instance(t, said.syntax, dicomtest.Options{Frames: 25}, stream, 2)
					taken := open(t, i)
					note := "the video is " + of.coding + ", not " + said.coding + " as its transfer syntax says"
					if of == said {
						note = ""
					}
					for name, c := range map[string]*video.Clip{"taken": taken, "bare": bare(t, taken, i)} {
						assert.Equal(t, note, c.Note(), name)
						require.Equal(t, 25, c.Count(), name)
						came, lost := levels(t, c, 1, 7, 25)
						assert.Empty(t, lost, name)
						for n, level := range came {
							assert.InDelta(t, dicomtest.Level(n), level, 4, "%s: frame %d", name, n)
						}
					}
				})
			}
		}
	}
	cut := made(t, "hevc", levels25+codings["HEVC"].codec)[:60]
	_, err := video.Open(t.Context(), instance(t, h264, dicomtest.Options{Frames: 25}, cut, 1))
	require.ErrorIs(t, err, pixeldata.ErrCorrupt)
	assert.ErrorContains(t, err, "it is HEVC, the transfer syntax says H.264")
}
