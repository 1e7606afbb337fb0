package dicom

import "strings"

// TransferSyntax is a row of PS3.6 table A-1: how a data set is encoded.
type TransferSyntax struct {
	UID  UID
	Name string

	ExplicitVR   bool // Implicit VR Little Endian is the only one without
	BigEndian    bool
	Deflated     bool   // the whole data set is an RFC 1951 stream
	Encapsulated bool   // Pixel Data is a sequence of fragments (PS3.5 A.4)
	Video        bool   // Pixel Data is one video stream
	Coding       string // of a video: MPEG-2, H.264 or HEVC
}

// Transfer syntaxes that the code has to tell apart.
const (
	ImplicitVRLittleEndian         UID = "1.2.840.10008.1.2"
	ExplicitVRLittleEndian         UID = "1.2.840.10008.1.2.1"
	EncapsulatedUncompressed       UID = "1.2.840.10008.1.2.1.98"
	DeflatedExplicitVRLittleEndian UID = "1.2.840.10008.1.2.1.99"
	ExplicitVRBigEndian            UID = "1.2.840.10008.1.2.2"
	JPEGBaseline8Bit               UID = "1.2.840.10008.1.2.4.50"
	JPEGExtended12Bit              UID = "1.2.840.10008.1.2.4.51"
	JPEGSpectralSelection          UID = "1.2.840.10008.1.2.4.53"
	JPEGFullProgression            UID = "1.2.840.10008.1.2.4.55"
	RLELossless                    UID = "1.2.840.10008.1.2.5"
	DeflatedImageFrame             UID = "1.2.840.10008.1.2.8.1"
	MPEG4HighProfile41             UID = "1.2.840.10008.1.2.4.102"
)

// TransferSyntaxes are the syntaxes endogate accepts and keeps byte for byte.
var TransferSyntaxes = []TransferSyntax{
	{UID: ImplicitVRLittleEndian, Name: "Implicit VR Little Endian"},
	{UID: ExplicitVRLittleEndian, Name: "Explicit VR Little Endian", ExplicitVR: true},
	{UID: DeflatedExplicitVRLittleEndian, Name: "Deflated Explicit VR Little Endian", ExplicitVR: true, Deflated: true},
	{UID: ExplicitVRBigEndian, Name: "Explicit VR Big Endian", ExplicitVR: true, BigEndian: true},
	still(JPEGBaseline8Bit, "JPEG Baseline (Process 1)"),
	still(JPEGExtended12Bit, "JPEG Extended (Process 2 and 4)"),
	still(JPEGSpectralSelection, "JPEG Spectral Selection, Non-Hierarchical (Process 6 and 8), retired"),
	still(JPEGFullProgression, "JPEG Full Progression, Non-Hierarchical (Process 10 and 12), retired"),
	still("1.2.840.10008.1.2.4.57", "JPEG Lossless, Non-Hierarchical (Process 14)"),
	still("1.2.840.10008.1.2.4.70", "JPEG Lossless, Non-Hierarchical, First-Order Prediction"),
	still("1.2.840.10008.1.2.4.80", "JPEG-LS Lossless"),
	still("1.2.840.10008.1.2.4.81", "JPEG-LS Near-Lossless"),
	still("1.2.840.10008.1.2.4.90", "JPEG 2000 Lossless Only"),
	still("1.2.840.10008.1.2.4.91", "JPEG 2000"),
	still("1.2.840.10008.1.2.4.110", "JPEG XL Lossless"),
	still("1.2.840.10008.1.2.4.111", "JPEG XL JPEG Recompression"),
	still("1.2.840.10008.1.2.4.112", "JPEG XL"),
	still("1.2.840.10008.1.2.4.201", "High-Throughput JPEG 2000 Lossless Only"),
	still("1.2.840.10008.1.2.4.202", "High-Throughput JPEG 2000 with RPCL Options, Lossless Only"),
	still("1.2.840.10008.1.2.4.203", "High-Throughput JPEG 2000"),
	still(RLELossless, "RLE Lossless"),
	still(EncapsulatedUncompressed, "Encapsulated Uncompressed Explicit VR Little Endian"),
	still(DeflatedImageFrame, "Deflated Image Frame Compression"),
	video("1.2.840.10008.1.2.4.100", "MPEG2 Main Profile / Main Level"),
	video("1.2.840.10008.1.2.4.100.1", "Fragmentable MPEG2 Main Profile / Main Level"),
	video("1.2.840.10008.1.2.4.101", "MPEG2 Main Profile / High Level"),
	video("1.2.840.10008.1.2.4.101.1", "Fragmentable MPEG2 Main Profile / High Level"),
	video(MPEG4HighProfile41, "MPEG-4 AVC/H.264 High Profile / Level 4.1"),
	video("1.2.840.10008.1.2.4.102.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1"),
	video("1.2.840.10008.1.2.4.103", "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1"),
	video("1.2.840.10008.1.2.4.103.1", "Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1"),
	video("1.2.840.10008.1.2.4.104", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video"),
	video("1.2.840.10008.1.2.4.104.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video"),
	video("1.2.840.10008.1.2.4.105", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video"),
	video("1.2.840.10008.1.2.4.105.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video"),
	video("1.2.840.10008.1.2.4.106", "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2"),
	video("1.2.840.10008.1.2.4.106.1", "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2"),
	video("1.2.840.10008.1.2.4.107", "HEVC/H.265 Main Profile / Level 5.1"),
	video("1.2.840.10008.1.2.4.108", "HEVC/H.265 Main 10 Profile / Level 5.1"),
}

// LookupTransferSyntax finds the row of uid.
func LookupTransferSyntax(uid UID) (TransferSyntax, bool) {
	for _, ts := range TransferSyntaxes {
		if ts.UID == uid {
			return ts, true
		}
	}
	return TransferSyntax{}, false
}

func still(uid UID, name string) TransferSyntax {
	return TransferSyntax{UID: uid, Name: name, ExplicitVR: true, Encapsulated: true}
}

func video(uid UID, name string) TransferSyntax {
	coding := "MPEG-2"
	for _, other := range []string{"H.264", "HEVC"} {
		if strings.Contains(name, other) {
			coding = other
		}
	}
	return TransferSyntax{UID: uid, Name: name, ExplicitVR: true, Encapsulated: true, Video: true, Coding: coding}
}
