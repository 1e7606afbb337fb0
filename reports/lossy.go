package reports

import (
	"strconv"

	"github.com/suyashkumar/dicom/pkg/tag"

	"endogate/dicomnode/dicom"
)

// lossyMethods are the defined terms of Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1) of the transfer syntaxes
// that lose something. Syntaxes that can do both ways count as lossy: once lost, a pixel is never whole again.
var lossyMethods = map[dicom.UID]string{
	dicom.JPEGBaseline8Bit: "ISO_10918_1", dicom.JPEGExtended12Bit: "ISO_10918_1",
	dicom.JPEGSpectralSelection: "ISO_10918_1", dicom.JPEGFullProgression: "ISO_10918_1",
	"1.2.840.10008.1.2.4.81":  "ISO_14495_1",
	"1.2.840.10008.1.2.4.91":  "ISO_15444_1",
	"1.2.840.10008.1.2.4.203": "ISO_15444_15",
	"1.2.840.10008.1.2.4.111": "ISO_18181_1", "1.2.840.10008.1.2.4.112": "ISO_18181_1",
	"1.2.840.10008.1.2.4.100": "ISO_13818_2", "1.2.840.10008.1.2.4.100.1": "ISO_13818_2",
	"1.2.840.10008.1.2.4.101": "ISO_13818_2", "1.2.840.10008.1.2.4.101.1": "ISO_13818_2",
	"1.2.840.10008.1.2.4.102": "ISO_14496_10", "1.2.840.10008.1.2.4.102.1": "ISO_14496_10",
	"1.2.840.10008.1.2.4.103": "ISO_14496_10", "1.2.840.10008.1.2.4.103.1": "ISO_14496_10",
	"1.2.840.10008.1.2.4.104": "ISO_14496_10", "1.2.840.10008.1.2.4.104.1": "ISO_14496_10",
	"1.2.840.10008.1.2.4.105": "ISO_14496_10", "1.2.840.10008.1.2.4.105.1": "ISO_14496_10",
	"1.2.840.10008.1.2.4.106": "ISO_14496_10", "1.2.840.10008.1.2.4.106.1": "ISO_14496_10",
	"1.2.840.10008.1.2.4.107": "ISO_23008_2", "1.2.840.10008.1.2.4.108": "ISO_23008_2",
}

// lossy carries the compression history of the source over (PS3.3 C.7.6.1.1.5). Our own pixels are native, so nothing
// is added to it.
func (s Source) lossy(ds dataset) {
	method, lossy := lossyMethods[s.TransferSyntaxUID]
	switch s.text(tag.LossyImageCompression) {
	case "01":
		lossy = true
	case "00":
		lossy = lossy && method == "ISO_10918_1" // sequential DCT always loses
	}
	if !lossy {
		ds.set(tag.LossyImageCompression, "00")
		return
	}
	ds.set(tag.LossyImageCompression, "01")
	ratios := s.values(tag.LossyImageCompressionRatio)
	if len(ratios) == 0 {
		ratios = []string{s.ratio()}
	}
	ds.set(tag.LossyImageCompressionRatio, ratios...)
	methods := s.values(tag.LossyImageCompressionMethod)
	if len(methods) == 0 && method != "" {
		methods = []string{method}
	}
	if len(methods) == len(ratios) { // value for value, or it says nothing
		ds.set(tag.LossyImageCompressionMethod, methods...)
	}
}

func (s Source) values(t tag.Tag) []string {
	var values []string
	for _, v := range s.Attributes.Texts(tagOf(t)) {
		v = printable(v)
		if v == "" || dicom.CheckText(vr(t), v) != nil {
			return nil
		}
		values = append(values, v)
	}
	return values
}

// ratio is uncompressed to received size: at least 1, the value for a lossy original that came uncompressed.
func (s Source) ratio() string {
	bytes := int64(s.frames())
	for _, t := range []tag.Tag{tag.Rows, tag.Columns, tag.SamplesPerPixel, tag.BitsAllocated} {
		n, _ := s.Attributes.Int(tagOf(t))
		bytes *= int64(n)
	}
	ratio := 1.0
	if s.Size > 0 {
		ratio = max(1, float64(bytes/8)/float64(s.Size))
	}
	return strconv.FormatFloat(ratio, 'f', 2, 64)
}
