//go:build bench

package bench_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/pixeldata/video"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/ask"
	"endogate/inference/onnx"
)

var (
	videoFrames = flag.Int("video-frames", 150, "frames of 1920 x 1080 pixels that are there to be decoded")
	videoFor    = flag.Duration("video-for", 8*time.Second, "how long each step is measured at most in a round, but for ffmpeg alone")
)

const videoH264 dicom.UID = "1.2.840.10008.1.2.4.102"

// TestVideo decodes a video, prepares its frames for a network of 224 x 224 pixels, classifies and explains them, each step with those
// before it, beside ffmpeg that decodes alone and PyTorch that does the same where Debian's is installed: all of one thread, but that
// ffmpeg decodes in a process of its own. A step ends with the video or with its time, so that a round is of bounded length on any machine.
func TestVideo(t *testing.T) {
	stream := filepath.Join(folder(t), "video.mp4")
	film := recorded(t, *videoFrames)
	if err := os.WriteFile(stream, film, 0o600); err != nil {
		t.Fatal(err)
	}
	clip := openClip(t, film, *videoFrames)
	model, bundle := stillModel(t, resNet(t))
	ways := []struct {
		name string
		do   func() (frames int, err error)
	}{
		{"ffmpeg alone, to nothing", func() (int, error) { return *videoFrames, ffmpegAlone(stream, "-f", "null", "-") }},
		{"ffmpeg alone, as RGB", func() (int, error) {
			return *videoFrames, ffmpegAlone(stream, "-pix_fmt", "rgb24", "-f", "rawvideo", "/dev/null")
		}},
		{"ffmpeg alone, as RGB for a program that reads it", func() (int, error) { return *videoFrames, ffmpegRead(stream) }},
		{"decode", func() (int, error) { return each(t.Context(), clip, func(pixeldata.Frame) error { return nil }) }},
		{"decode + prepare", func() (int, error) {
			input := make([]float32, bundle.Len())
			return each(t.Context(), clip, func(f pixeldata.Frame) error {
				_, err := bundle.Prepare(f.Image, analysis.Pose{}, input)
				return err
			})
		}},
		{"decode + prepare + classify", func() (int, error) {
			return each(t.Context(), clip, func(f pixeldata.Frame) error {
				_, err := model.Classify(t.Context(), still(f))
				return err
			})
		}},
		{"decode + prepare + classify + explain", func() (int, error) {
			return each(t.Context(), clip, func(f pixeldata.Frame) error {
				part, err := model.Infer(t.Context(), still(f), inference.Wishes{})
				if err == nil && len(part.Maps) == 0 {
					err = fmt.Errorf("frame %d is not explained", f.Number)
				}
				return err
			})
		}},
	}
	perSecond := make([]series, len(ways)+1)
	done := eachRound(t, func(int) {
		for i, w := range ways {
			begin := time.Now()
			n, err := w.do()
			if err != nil {
				t.Fatalf("%s: %v", w.name, err)
			}
			perSecond[i] = append(perSecond[i], float64(n)/time.Since(begin).Seconds())
		}
		if rate := pyTorch(t, stream); rate > 0 {
			perSecond[len(ways)] = append(perSecond[len(ways)], rate)
		}
	})
	var rows [][]string
	for i, w := range ways {
		rows = append(rows, []string{w.name, perSecond[i].String(), perSecond[i].over(perSecond[1]).String(), perSecond[i].over(perSecond[2]).String(), beside(perSecond[i], perSecond[len(ways)])})
	}
	if torch := perSecond[len(ways)]; len(torch) > 0 {
		rows = append(rows, []string{"PyTorch: ffmpeg's frames, resized, grad-CAM, frozen", torch.String(), torch.over(perSecond[1]).String(), torch.over(perSecond[2]).String(), ""})
	}
	table(fmt.Sprintf("Video of 1920 x 1080 at 25 frames/s, H.264, groups of 1 s; ResNet-50 at 224 x 224; %d rounds", done),
		[]string{"step", "frames/s", "÷ ffmpeg as RGB", "÷ the same, read", "÷ PyTorch"}, rows)
}

func beside(a, b series) string {
	if len(b) == 0 {
		return "python3-torch is not installed"
	}
	return a.over(b).String()
}

// recorded is a video that pans over a frame of testdata.
func recorded(t *testing.T, frames int) []byte {
	t.Helper()
	return dicomtest.Stream(t, "mp4", "-loop", "1", "-framerate", "25", "-i", filepath.Join(peers.Root(t), "testdata/frames/polyp-0dad158b.jpg"),
		"-frames:v", strconv.Itoa(frames), "-vf", "scale=2000:1200,crop=1920:1080:'40+39*sin(n/13)':'60+59*cos(n/17)',setsar=1,format=yuv420p",
		"-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-g", "25")
}

func openClip(t *testing.T, stream []byte, frames int) *video.Clip {
	t.Helper()
	ds, _ := dicomtest.Video(dicomtest.Options{TransferSyntax: videoH264, Rows: 1080, Columns: 1920, Frames: frames}, stream, 1)
	ts, _ := dicom.LookupTransferSyntax(videoH264)
	i, err := pixeldata.Open(bytes.NewReader(ds), ts, pixeldata.Options{Scratch: folder(t)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := video.Open(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func stillModel(t *testing.T, dir string) (*inference.BundleModel, *inference.Bundle) {
	t.Helper()
	b, err := inference.LoadBundle(dir)
	if err != nil {
		t.Fatal(err)
	}
	r, err := onnx.OpenConfigured("")
	if err != nil {
		t.Fatal(err)
	}
	m := ask.New(r, b, ask.Options{})
	t.Cleanup(func() { _ = m.Close() })
	opened, err := m.OpenNetwork(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	model, err := inference.NewModel(t.Context(), b, opened.Opened, nil)
	if err != nil {
		t.Fatal(err)
	}
	return model, b
}

func still(f pixeldata.Frame) analysis.Sample {
	return analysis.Sample{Span: analysis.Still(f.Number), Frames: []*image.RGBA{f.Image}}
}

// each hands over frames of a video from its first on, to its end or for as long as a step has, and says how many.
func each(ctx context.Context, c *video.Clip, do func(pixeldata.Frame) error) (n int, err error) {
	numbers := make([]int, c.Count())
	for i := range numbers {
		numbers[i] = i + 1
	}
	begin := time.Now()
	for f, err := range c.Frames(ctx, numbers) {
		if err == nil {
			err = do(f)
		}
		if err != nil {
			return n, err
		}
		c.Recycle(f.Image)
		if n++; time.Since(begin) > *videoFor {
			break
		}
	}
	return n, nil
}

func ffmpegAlone(stream string, to ...string) error {
	out, err := exec.Command("ffmpeg", append([]string{"-v", "error", "-y", "-nostdin", "-threads", "1", "-i", stream}, to...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// ffmpegRead has ffmpeg hand over its pictures as any program gets them, which looks at none.
func ffmpegRead(stream string) error {
	cmd := exec.Command("ffmpeg", "-v", "error", "-nostdin", "-threads", "1", "-i", stream, "-pix_fmt", "rgba", "-f", "rawvideo", "-")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{out}, make([]byte, 1<<20))
	return errors.Join(err, cmd.Wait())
}

// pyTorch is how many frames PyTorch decodes by ffmpeg, prepares, classifies and explains in a second; 0 where it is not installed.
func pyTorch(t *testing.T, stream string) float64 {
	t.Helper()
	python := "/usr/bin/python3" // Debian's, which has Debian's modules
	if exec.Command(python, "-c", "import torch, torchvision, numpy").Run() != nil {
		return 0
	}
	out, err := exec.Command(python, filepath.Join(peers.Root(t), "cmd/endogate/bench/testdata/video.py"), stream, strconv.Itoa(*videoFrames), fmt.Sprint(videoFor.Seconds())).Output()
	if err != nil {
		t.Fatalf("PyTorch: %v", err)
	}
	rate, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		t.Fatalf("PyTorch: %v", err)
	}
	return rate
}

// looped is a video so many times in a row.
func looped(t *testing.T, film []byte, times int) []byte {
	t.Helper()
	one := filepath.Join(folder(t), "one.mp4")
	if err := os.WriteFile(one, film, 0o600); err != nil {
		t.Fatal(err)
	}
	return dicomtest.Stream(t, "mp4", "-stream_loop", strconv.Itoa(times-1), "-i", one, "-c", "copy")
}
