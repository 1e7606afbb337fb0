// Package dicom holds what every other part of the gateway has to know about DICOM data: UIDs, tags, transfer
// syntaxes and SOP classes (PS3.6), a bounded streaming reader and the one writer of data sets and command sets (PS3.5 7,
// annexes A and B, PS3.7 6.3.1), their text in UTF-8 (PS3.5 6.1, PS3.3 C.12.1.1.2), and the file meta information of
// Part 10 (PS3.10 7.1).
//
// Reader, ReadAttributes and ReadFileMeta are for bytes from strangers: a length is checked before anything is
// allocated for it, nesting is a stack and not recursion, and a broken data set gives an error, never a panic.
// Dataset is strict: what PS3.5 does not allow is not written.
//
// It leaves out writing character sets with code extensions, decoding pixel data (package pixeldata) and DICOMDIR.
package dicom
