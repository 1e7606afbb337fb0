// Package reports makes the DICOM objects that tell what a network saw: the grad-CAM overlay of a frame as
// Secondary Capture (PS3.3 A.8.1), the result of an exam as structured report after TID 1500 (PS3.16) in
// Comprehensive 3D SR (PS3.3 A.35.13) with a Comprehensive SR (A.35.3) for peers that do not know it, and the key
// frames as Key Object Selection (A.35.4, TID 2010). An Assembler makes report and key frames once an exam is quiet.
//
// Everything is deterministic: UIDs are derived from what the object is about, dates come from the time of
// inference, so that the same input gives the same bytes. No object leaves before it was checked and nothing was found
// wrong with it, no document before another parser (package readback) has read from it what was meant.
//
// What a model saw is a draft: PARTIAL, UNVERIFIED, PRELIMINARY. A document (package draft) that a person signed is COMPLETE,
// and VERIFIED and FINAL only where the signature is: [Builder.SignedReport]. The PDF of either is wrapped as Encapsulated PDF
// (PS3.3 A.45.1). The package never alters a source instance and never writes into the series of a source. It makes no
// segmentation, parametric map or presentation state.
//
// What a picture shows of the body is what its source says, or the site of the class that is explained: where neither
// is known, Body Part Examined is left out. Laterality is then zero-length, as type 2C has it for what is unknown:
// dciodvfy takes an absent one for an error unless it knows the part.
//
// The names and VRs of attributes are those of github.com/suyashkumar/dicom's data dictionary, which no other package
// imports.
package reports
