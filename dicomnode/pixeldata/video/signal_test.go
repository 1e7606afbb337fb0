package video_test

import (
	"bufio"
	"context"
	"crypto/md5"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/failure"
	"endogate/dicomnode/pixeldata/video"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// file is one that ffmpeg makes.
func file(t testing.TB, ending string, arguments ...string) string {
	name := filepath.Join(t.TempDir(), "clip."+ending)
	require.NoError(t, os.WriteFile(name, dicomtest.Stream(t, ending, arguments...), 0o600))
	return name
}

// seen are the shots of a signal, until so many have come or it ends.
func seen(t testing.TB, s video.Signal, most int) (shots []video.Shot, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	err = s.Watch(ctx, func(shot video.Shot) {
		if shots = append(shots, shot); len(shots) == most {
			cancel()
		}
	})
	return shots, err
}

// Every frame of a file comes once, in order, with its time, at the file's own speed.
func TestSignal_file(t *testing.T) {
	installed.Require(t, "ffmpeg")
	for _, row := range []struct {
		ending string
		codec  []string
	}{
		{"mp4", []string{"-c:v", "libx264", "-bf", "2", "-qp", "10"}},
		{"mkv", []string{"-c:v", "mpeg4", "-qscale", "2"}},
		{"avi", []string{"-c:v", "mjpeg", "-qscale", "2"}},
		{"ts", []string{"-c:v", "mpeg2video", "-qscale", "2"}},
	} {
		name := file(t, row.ending, append(append(dicomtest.Levels(25), "-t", "0.8"), row.codec...)...)
		begun := time.Now()
		shots, err := seen(t, video.Signal{Name: name}, 0)
		require.NoError(t, err, row.ending)
		require.Len(t, shots, 20, row.ending)
		assert.Greater(t, time.Since(begun), 700*time.Millisecond, "not faster than it is")
		for i, shot := range shots {
			assert.Equal(t, i+1, shot.Number)
			assert.InDelta(t, 0.04*float64(i), shot.Time.Seconds(), 0.002, row.ending)
			assert.InDelta(t, dicomtest.Level(i+1), int(shot.RGBAAt(32, 24).G), 4, row.ending)
		}
	}
}

// A signal that is watched anew, as where its model has failed, goes on counting: no number names two frames.
func TestSignal_again(t *testing.T) {
	installed.Require(t, "ffmpeg")
	s := video.Signal{Name: file(t, "mp4", append(dicomtest.Levels(25), "-frames:v", "4", "-c:v", "libx264")...), Frames: new(atomic.Int64)}
	var numbers []int
	for range 2 {
		shots, err := seen(t, s, 0)
		require.NoError(t, err)
		for _, shot := range shots {
			numbers = append(numbers, shot.Number)
		}
	}
	assert.Equal(t, []int{1, 2, 3, 4, 5, 6, 7, 8}, numbers)
}

// What is no signal says what to do.
func TestSignal_refused(t *testing.T) {
	installed.Require(t, "ffmpeg")
	text := filepath.Join(t.TempDir(), "list.mp4")
	require.NoError(t, os.WriteFile(text, []byte("ffconcat version 1.0\nfile /etc/passwd\n"), 0o600))
	for _, row := range []struct {
		name, says string
		listen     bool
	}{
		{"", "/dev/video0", false},
		{"http://10.0.0.1/live", "rtsp:// alone", false},
		{"rtsp:///live", "rtsp://HOST:PORT/PATH", false},
		{"clip.mp4", "listening is for RTSP", true},
		{"/no/such.mp4", "there is no file", false},
		{text, "source", false},
		{file(t, "mp4", "-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac"), "no video in it", false},
		{file(t, "mkv", append(dicomtest.Levels(25), "-t", "0.2", "-c:v", "ffv1")...), "coded in another way", false},
	} {
		shots, err := seen(t, video.Signal{Name: row.name, Listen: row.listen}, 0)
		require.ErrorIs(t, err, video.ErrSource, row.name)
		assert.ErrorContains(t, err, row.says)
		assert.Empty(t, shots)
	}
}

// push has ffmpeg send two seconds to an address by RTSP, as encoders do, again and again until ctx is done.
func push(ctx context.Context, to string) {
	arguments := append([]string{"-nostdin", "-v", "error", "-re"}, dicomtest.Levels(25)...)
	arguments = append(arguments, "-t", "2", "-c:v", "libx264", "-tune", "zerolatency", "-g", "5", "-f", "rtsp", "-rtsp_transport", "tcp", to)
	for ctx.Err() == nil {
		_ = exec.CommandContext(ctx, "ffmpeg", arguments...).Run() // also where nobody takes it yet
	}
}

// A source that sends by itself is taken, and taken again when it comes back.
func TestSignal_listens(t *testing.T) {
	installed.Require(t, "ffmpeg")
	address := fmt.Sprintf("rtsp://127.0.0.1:%d/live", peers.FreePort(t))
	var lost []string
	s := video.Signal{Name: address, Listen: true, Wait: failure.Backoff{First: 10 * time.Millisecond, Last: 20 * time.Millisecond}}
	s.Lost = func(why error, _ time.Duration) { lost = append(lost, why.Error()) }
	var sending sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer func() { stop(); sending.Wait() }()
	sending.Go(func() { push(ctx, address) }) // of which what comes while the stream is looked at is not shown
	shots, err := seen(t, s, 30)
	require.NoError(t, err)
	require.Len(t, shots, 30)
	assert.Equal(t, 30, shots[29].Number, "counted over connections")
	assert.Less(t, shots[29].Time, 2*time.Second, "and times are of one")
	assert.NotEmpty(t, lost)
}

// camera is an RTSP server (RFC 2326) of one stream, whose packets ffmpeg makes. It hangs up after so many packets; 0: it sends none.
func camera(t testing.TB, packets int, password string) (address string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	t.Cleanup(func() { _ = ln.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { defer func() { _ = conn.Close() }(); serve(t, conn, packets, password) })
		}
	})
	return "rtsp://" + ln.Addr().String() + "/live"
}

func serve(t testing.TB, conn net.Conn, packets int, password string) {
	stop := context.AfterFunc(t.Context(), func() { _ = conn.Close() })
	defer stop()
	r := textproto.NewReader(bufio.NewReader(conn))
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		header, err := r.ReadMIMEHeader()
		if err != nil {
			return
		}
		answer := func(status, more, body string) {
			_, _ = fmt.Fprintf(conn, "RTSP/1.0 %s\r\nCSeq: %s\r\n%sContent-Length: %d\r\n\r\n%s", status, header.Get("CSeq"), more, len(body), body)
		}
		switch method, _, _ := strings.Cut(line, " "); {
		case method == "OPTIONS":
			answer("200 OK", "Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n", "")
		case strings.HasPrefix(password, "digest ") && !proved(line, header.Get("Authorization"), strings.TrimPrefix(password, "digest ")):
			answer("401 Unauthorized", "WWW-Authenticate: Digest realm=\"camera\", nonce=\"n1\"\r\n", "")
		case password != "" && header.Get("Authorization") == "":
			answer("401 Unauthorized", "WWW-Authenticate: Basic realm=\"camera\"\r\n", "")
		case password == "wrong":
			answer("401 Unauthorized", "WWW-Authenticate: Basic realm=\"camera\"\r\n", "")
		case method == "DESCRIBE":
			answer("200 OK", "Content-Type: application/sdp\r\n", "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=control:trackID=0\r\n")
		case method == "SETUP":
			answer("200 OK", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n", "")
		case method == "PLAY":
			answer("200 OK", "Session: 1\r\n", "")
			if packets > 0 {
				relay(t, conn, packets)
				return
			}
		default:
			answer("200 OK", "Session: 1\r\n", "")
		}
	}
}

// proved reports whether a request proves the password of doctor (RFC 2617 3.2.2).
func proved(line, authorization, password string) bool {
	method, rest, _ := strings.Cut(line, " ")
	uri, _, _ := strings.Cut(rest, " ")
	hash := func(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }
	want := hash(hash("doctor:camera:"+password) + ":n1:" + hash(method+":"+uri))
	return strings.HasPrefix(authorization, "Digest ") && strings.Contains(authorization, want)
}

// A camera that wants a password has it, proved as it wants, and nobody else on the machine sees it.
func TestSignal_password(t *testing.T) {
	installed.Require(t, "ffmpeg")
	for _, wants := range []string{"s3cret-word's", "digest s3cret-word's"} {
		s := video.Signal{Name: strings.Replace(camera(t, 400, wants), "rtsp://", "rtsp://doctor:s3cret-word%27s@", 1)}
		var children int
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		require.NoError(t, s.Watch(ctx, func(video.Shot) {
			if children > 0 {
				return
			}
			all, err := filepath.Glob("/proc/[0-9]*/cmdline")
			assert.NoError(t, err)
			for _, name := range all {
				command, _ := os.ReadFile(name) // it may have ended
				environment, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "environ"))
				if strings.Contains(string(command), "showinfo@come") {
					children++
				}
				assert.NotContains(t, string(command)+string(environment), "s3cret")
			}
			cancel()
		}))
		assert.Positive(t, children, wants)
		cancel()
	}
}

// relay sends packets of RTP as ffmpeg makes them, interleaved (RFC 2326 10.12).
func relay(t testing.TB, conn net.Conn, packets int) {
	from, err := net.ListenPacket("udp", "127.0.0.1:0")
	if !assert.NoError(t, err) {
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	context.AfterFunc(ctx, func() { _ = from.Close() })
	defer cancel()
	arguments := append([]string{"-nostdin", "-v", "error", "-re"}, dicomtest.Levels(25)...)
	arguments = append(arguments, "-c:v", "mjpeg", "-huffman", "default", "-pix_fmt", "yuvj420p", "-qscale", "2", "-f", "rtp", "rtp://"+from.LocalAddr().String())
	encoder := exec.CommandContext(ctx, "ffmpeg", arguments...)
	if !assert.NoError(t, encoder.Start()) {
		return
	}
	defer func() { _ = encoder.Wait() }()
	defer cancel()
	packet := make([]byte, 2048)
	for range packets {
		n, _, err := from.ReadFrom(packet[4:])
		if err != nil {
			return
		}
		packet[0], packet[1], packet[2], packet[3] = '$', 0, byte(n>>8), byte(n)
		if _, err := conn.Write(packet[:4+n]); err != nil {
			return
		}
	}
}

// A camera is asked for its stream, and asked again when it has hung up.
func TestSignal_camera(t *testing.T) {
	installed.Require(t, "ffmpeg")
	s := video.Signal{Name: camera(t, 80, ""), Wait: failure.Backoff{First: 10 * time.Millisecond, Last: 20 * time.Millisecond}}
	lost := 0
	s.Lost = func(error, time.Duration) { lost++ }
	connections := map[int]bool{}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	require.NoError(t, s.Watch(ctx, func(shot video.Shot) {
		if connections[lost] = true; len(connections) == 2 {
			cancel()
		}
		assert.Equal(t, 64, shot.Rect.Dx())
	}))
	assert.Len(t, connections, 2)
}

// Why a source is gone is said in words, without its password.
func TestSignal_lost(t *testing.T) {
	installed.Require(t, "ffmpeg")
	nobody := "127.0.0.1:" + strconv.Itoa(peers.FreePort(t))
	wrong := strings.Replace(camera(t, 0, "wrong"), "rtsp://", "rtsp://doctor:s3cret-word@", 1)
	for _, row := range []struct {
		name, says string
		stall      time.Duration
	}{
		{"rtsp://doctor:s3cret-word@" + nobody + "/live", "nobody answers", time.Minute},
		{wrong, "wants a user and a password", time.Minute},
		{camera(t, 0, ""), "no frame has come for 1s", time.Second},
		{"/dev/no-such-device", "there is no device", time.Minute},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		s := video.Signal{Name: row.name, Stall: row.stall}
		said := ""
		s.Lost = func(why error, next time.Duration) {
			assert.Equal(t, time.Second, next)
			said = why.Error()
			cancel()
		}
		require.NoError(t, s.Watch(ctx, func(video.Shot) {}))
		assert.Contains(t, said, row.says)
		assert.NotContains(t, said+s.String(), "s3cret")
		cancel()
	}
}
