package dicomtest

import "endogate/dicomnode/dicom"

// Encode returns the bytes of a data set that is known to be good.
func Encode(ds dicom.Dataset, uid dicom.UID) []byte {
	ts, ok := dicom.LookupTransferSyntax(uid)
	if !ok {
		panic("dicomtest: unknown transfer syntax " + uid)
	}
	b, err := ds.Append(nil, ts)
	if err != nil {
		panic("dicomtest: " + err.Error())
	}
	return b
}
