package dicomweb_test

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
)

// TestRendered: pictures of frames as JPEG and PNG, whole and in part, of an instance, a series and a study; what cannot be is said.
func TestRendered(t *testing.T) {
	h := open(t)
	headers, _ := h.receive(
		dicomtest.Options{Study: "a", Instance: 1},
		dicomtest.Options{Study: "a", Instance: 2, Frames: 3, TransferSyntax: dicom.JPEGBaseline8Bit},
		dicomtest.Options{Study: "a", Instance: 3, TransferSyntax: dicom.RLELossless})
	lossless := dicomtest.Picture(64, 48, 3001)
	get := func(target string, header ...string) image.Image {
		w := h.ask("GET", target, header...)
		require.Equal(t, http.StatusOK, w.Code, "%s: %s", target, w.Body)
		picture, format, err := image.Decode(w.Body)
		require.NoError(t, err)
		assert.Equal(t, "image/"+format, w.Header().Get("Content-Type"))
		return picture
	}
	at := func(p image.Image, x, y int) color.RGBA { return color.RGBAModel.Convert(p.At(x, y)).(color.RGBA) }

	whole := get(path(headers[2])+"/rendered", "Accept", "image/png")
	assert.Equal(t, lossless.Bounds(), whole.Bounds())
	for _, p := range []image.Point{{0, 0}, {32, 24}, {63, 47}} {
		assert.Equal(t, lossless.RGBAAt(p.X, p.Y), at(whole, p.X, p.Y))
	}
	part := get(path(headers[2])+"/rendered?viewport=16,16,8,4,16,16", "Accept", "image/png")
	assert.Equal(t, image.Rect(0, 0, 16, 16), part.Bounds())
	assert.Equal(t, lossless.RGBAAt(8+3, 4+5), at(part, 3, 5))
	turned := get(path(headers[2])+"/rendered?viewport=16,16,8,4,-16,16", "Accept", "image/png")
	assert.Equal(t, lossless.RGBAAt(8+15-3, 4+5), at(turned, 3, 5))
	turned = get(path(headers[2])+"/rendered?viewport=16,16,8,4,,-16", "Accept", "image/png")
	assert.Equal(t, 16, turned.Bounds().Dx(), "56 x 16, fitted")
	assert.Equal(t, image.Rect(0, 0, 128, 96), get(path(headers[2])+"/frames/1/rendered?viewport=128,128").Bounds(), "in its own shape")
	assert.Equal(t, image.Rect(0, 0, 32, 24), get(path(headers[1])+"/frames/2/rendered?viewport=32,32").Bounds())
	assert.Equal(t, image.Rect(0, 0, 256, 192), get(path(headers[1])+"/thumbnail").Bounds())
	assert.Equal(t, image.Rect(0, 0, 40, 30), get(path(headers[1])+"/frames/3/thumbnail?viewport=40,40").Bounds())
	study := "/studies/" + string(headers[0].StudyInstanceUID)
	series := study + "/series/" + string(headers[0].SeriesInstanceUID)
	assert.Equal(t, image.Rect(0, 0, 256, 192), get(series+"/thumbnail", "Accept", "image/*").Bounds())
	assert.Equal(t, image.Rect(0, 0, 256, 192), get(study+"/thumbnail?accept=image/png").Bounds())
	coarse, fine := h.ask("GET", path(headers[0])+"/rendered?quality=5"), h.ask("GET", path(headers[0])+"/rendered?quality=95")
	assert.Less(t, coarse.Body.Len(), fine.Body.Len())
	assert.Equal(t, http.StatusNotModified, h.ask("GET", path(headers[0])+"/rendered?quality=95", "If-None-Match", fine.Header().Get("ETag")).Code)
	assert.Equal(t, http.StatusOK, h.ask("GET", path(headers[0])+"/rendered?quality=95", "If-None-Match", coarse.Header().Get("ETag")).Code, "of another form")

	for target, count := range map[string]int{study + "/rendered": 5, series + "/rendered": 5, path(headers[1]) + "/rendered": 3, path(headers[1]) + "/frames/3,1/rendered": 2} {
		bodies, types := parts(t, h.ask("GET", target, "Accept", `multipart/related; type="image/jpeg"`), "image/jpeg")
		require.Len(t, bodies, count, target)
		for i, body := range bodies {
			_, err := jpeg.Decode(bytes.NewReader(body))
			require.NoError(t, err)
			assert.Equal(t, "image/jpeg", types[i])
		}
	}
	bodies, types := parts(t, h.ask("GET", study+"/rendered", "Accept", `image/jpeg, multipart/related; type="image/png"`), "image/png")
	assert.Len(t, types, 5, "what takes several pictures is found behind what takes one")
	_, err := png.Decode(bytes.NewReader(bodies[4]))
	require.NoError(t, err)

	one := path(headers[0])
	for target, code := range map[string]int{
		one + "/frames/2/rendered": 404, path(headers[1]) + "/frames/1,4/rendered?accept=*/*": 404, one + "/frames/0/rendered": 400, path(headers[1]) + "/frames/" + strings.Repeat("1,", 1000) + "1/rendered": 413,
		one + "/rendered?quality=0": 400, one + "/rendered?quality=101": 400, one + "/rendered?quality=x": 400,
		one + "/rendered?viewport=0,10": 400, one + "/rendered?viewport=10": 400, one + "/rendered?viewport=5000,10": 400, one + "/rendered?viewport=10,10,64,0": 400,
		one + "/rendered?viewport=10,10,-1,0": 400, one + "/rendered?viewport=10,10,0,0,NaN,3": 400, one + "/rendered?viewport=10,10,0,0,9,9,9": 400, one + "/thumbnail?viewport=10,10,1,1": 400,
		one + "/rendered?window=1,2": 400, one + "/rendered?window=1,0,linear": 400, one + "/rendered?window=1,0,sigmoid": 400, one + "/rendered?window=1,-2,linear-exact": 400, one + "/rendered?window=1,2,cubic": 400, one + "/rendered?window=NaN,2,sigmoid": 400, one + "/rendered?window=1,0.5,linear": 400, one + "/rendered?window=1,2,linear": 400,
		one + "/rendered?accept=image/gif": 406, path(headers[1]) + "/rendered?accept=image/jpeg": 406, one + "/rendered?accept=video/mp4": 406,
		"/studies/1.2.3/rendered": 404, "/studies/1.2.3/thumbnail": 404,
	} {
		w := h.ask("GET", target)
		assert.Equal(t, code, w.Code, "%s: %s", target, w.Body)
		assert.Contains(t, w.Body.String(), `"next"`)
	}
	w := h.ask("GET", one+"/rendered?annotation=patient")
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Contains(t, w.Header().Get("Warning"), "299")
}

// Of what is no still picture there is none, and a study's thumbnail is of what is.
func TestRendered_noPicture(t *testing.T) {
	h := open(t)
	headers, _ := h.receive(dicomtest.Options{Study: "a", Instance: 1, More: dicom.Dataset{dicom.Rows: dicom.Ints{0}}}, dicomtest.Options{Study: "a", Instance: 2})
	assert.Equal(t, http.StatusNotAcceptable, h.ask("GET", path(headers[0])+"/rendered").Code)
	assert.Equal(t, http.StatusNotAcceptable, h.ask("GET", path(headers[0])+"/thumbnail").Code)
	assert.Equal(t, http.StatusOK, h.ask("GET", "/studies/"+string(headers[0].StudyInstanceUID)+"/thumbnail").Code)
}

// A window is of grey frames, in place of their own.
func TestRendered_window(t *testing.T) {
	h := open(t)
	headers, _ := h.receive(dicomtest.Options{Study: "a", Instance: 1, More: dicom.Dataset{
		dicom.SamplesPerPixel: dicom.Ints{1}, dicom.PhotometricInterpretation: dicom.Text{"MONOCHROME2"}, dicom.Columns: dicom.Ints{3 * 64},
	}})
	grey := func(query string) (levels [256]int) {
		w := h.ask("GET", path(headers[0])+"/rendered"+query, "Accept", "image/png")
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		picture, err := png.Decode(w.Body)
		require.NoError(t, err)
		require.Equal(t, image.Rect(0, 0, 3*64, 48), picture.Bounds())
		for y := range 48 {
			for x := range 3 * 64 {
				levels[color.GrayModel.Convert(picture.At(x, y)).(color.Gray).Y]++
			}
		}
		return levels
	}
	own, black := grey(""), grey("?window=1000,1,linear")
	assert.Equal(t, 3*64*48, black[0], "nothing reaches 1000")
	above := 0
	for _, n := range own[101:] {
		above += n
	}
	assert.Equal(t, own, grey("?window=127.5,255,linear-exact"), "0 to 255 as they are")
	assert.NotEqual(t, own, grey("?window=127.5,255,sigmoid"))
	assert.Equal(t, above, grey("?window=101,1,linear")[255], "all or nothing at 100.5 (PS3.3 C.11.2.1.2.1)")
}

// A VOI LUT of a grey frame is applied, and a window that is asked for in its place.
func TestRendered_table(t *testing.T) {
	h := open(t)
	turned := make(dicom.Ints, 256)
	for i := range turned {
		turned[i] = 255 - i
	}
	grey := dicom.Dataset{dicom.SamplesPerPixel: dicom.Ints{1}, dicom.PhotometricInterpretation: dicom.Text{"MONOCHROME2"}, dicom.Columns: dicom.Ints{3 * 64}}
	table := maps.Clone(grey)
	table[dicom.VOILUTSequence] = dicom.Items{{dicom.LUTDescriptor: dicom.Ints{256, 0, 8}, dicom.LUTData: dicom.As{VR: "US", Value: turned}}}
	headers, _ := h.receive(dicomtest.Options{Study: "a", Instance: 1, More: grey}, dicomtest.Options{Study: "a", Instance: 2, More: table})
	picture := func(i int, query string) *image.Gray {
		w := h.ask("GET", path(headers[i])+"/rendered"+query, "Accept", "image/png")
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		decoded, err := png.Decode(w.Body)
		require.NoError(t, err)
		grey := image.NewGray(decoded.Bounds())
		draw.Draw(grey, grey.Rect, decoded, image.Point{}, draw.Src)
		return grey
	}
	plain, same := picture(0, ""), picture(1, "?window=127.5,255,linear-exact")
	for i, v := range picture(1, "").Pix {
		require.Equal(t, 255-v, same.Pix[i])
	}
	require.Len(t, same.Pix, len(plain.Pix))
}
