// Package dimse holds the command sets of the DICOM Message Service Element (PS3.7 9.3, 10.3, annex E) as bytes and
// as Go values, and the statuses of PS3.7 annex C with their meaning for whoever gets one.
//
// A command set is a Request or a Response, whatever its service; which elements stand in which message is described
// once, for both directions. Messages, data sets and associations are the business of dicomnode.
package dimse
