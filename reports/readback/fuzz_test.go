package readback

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	sd "github.com/suyashkumar/dicom"

	"endogate/dicomnode/dicom"
)

// Three parsers read alike what one writer wrote: ours, go-dicom and suyashkumar/dicom. The data sets are what our reader
// makes of the input, so that they hold whatever can be read.
func FuzzReaders(f *testing.F) {
	explicit := syntax(f, dicom.ExplicitVRLittleEndian)
	encoded, err := everything().Append(nil, explicit)
	require.NoError(f, err)
	f.Add(encoded)
	files, err := filepath.Glob("../../dicomnode/dicom/testdata/pydicom/*.dcm")
	require.NoError(f, err)
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(f, err)
		if i := bytes.Index(b, []byte("\x08\x00\x05\x00")); i > 0 {
			f.Add(b[i:])
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, _ := dicom.ReadAttributes(bytes.NewReader(data), explicit)
		ds := known(a.Dataset())
		encoded, err := ds.Append(nil, explicit)
		if err != nil {
			return // such as a value that is too long in UTF-8
		}
		if err := Check(ds, encoded, explicit); err != nil {
			t.Errorf("%v: %x", err, encoded)
		}
		if err := readBySuyashkumar(ds, encoded); err != nil {
			t.Errorf("suyashkumar/dicom: %v: %x", err, encoded)
		}
	})
}

// known leaves out what one of the others does not know, or reads only where it is sound: VRs younger than they are, and
// numbers with bytes left over.
func known(ds dicom.Dataset) dicom.Dataset {
	size := map[string]int{"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "OF": 4, "FD": 8, "OD": 8, "AT": 4, "OL": 4, "OW": 2}
	out := dicom.Dataset{}
	for t := range ds {
		value, vr := ds.Value(t)
		switch v := value.(type) {
		case dicom.Items:
			items := make(dicom.Items, len(v))
			for i, item := range v {
				items[i] = known(item)
			}
			out[t] = items
			continue
		case dicom.Bytes:
			if vr == "OV" || vr == "SV" || vr == "UV" || size[vr] > 0 && len(v)%size[vr] != 0 {
				continue
			}
		}
		out[t] = ds[t]
	}
	return out
}

// readBySuyashkumar has github.com/suyashkumar/dicom read a file and compares tags, VRs, items and text.
func readBySuyashkumar(ds dicom.Dataset, encoded []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	var file bytes.Buffer
	meta := dicom.FileMeta{SOPClassUID: "1.2.3", SOPInstanceUID: "1.2.3.4", TransferSyntaxUID: dicom.ExplicitVRLittleEndian}
	if err := dicom.WriteFileMeta(&file, meta); err != nil {
		return err
	}
	file.Write(encoded)
	got, err := sd.Parse(&file, int64(file.Len()), nil, sd.AllowUnknownSpecificCharacterSet(), sd.SkipProcessingPixelDataValue())
	if err != nil {
		return err
	}
	elements := got.Elements
	for len(elements) > 0 && elements[0].Tag.Group == 2 {
		elements = elements[1:]
	}
	return sameElements(ds, elements)
}

func sameElements(ds dicom.Dataset, elements []*sd.Element) error {
	tags := ds.Tags()
	if len(tags) != len(elements) {
		return fmt.Errorf("%d elements, %d are meant", len(elements), len(tags))
	}
	for i, t := range tags {
		value, vr := ds.Value(t)
		e := elements[i]
		if got := dicom.Tag(e.Tag.Group)<<16 | dicom.Tag(e.Tag.Element); got != t || e.RawValueRepresentation != vr {
			return fmt.Errorf("%v of VR %s, meant is %v of %s", got, e.RawValueRepresentation, t, vr)
		}
		switch v := value.(type) {
		case dicom.Items:
			items, _ := e.Value.GetValue().([]*sd.SequenceItemValue)
			if len(items) != len(v) {
				return fmt.Errorf("%v: %d items, %d are meant", t, len(items), len(v))
			}
			for i, item := range v {
				if err := sameElements(item, items[i].GetValue().([]*sd.Element)); err != nil {
					return fmt.Errorf("%v item %d: %w", t, i+1, err)
				}
			}
		case dicom.Text:
			texts, _ := e.Value.GetValue().([]string)
			if got, want := canonical(strings.Join(texts, `\`)), meant(vr, v); got != want {
				return fmt.Errorf("%v: %q, meant is %q", t, got, want)
			}
		}
	}
	return nil
}
