// Package dimse holds the command sets of the DICOM Message Service Element (PS3.7 9.3, annex E) as bytes and
// as Go values, and the statuses of PS3.7 annex C with their meaning for whoever gets one.
//
// C-ECHO and C-STORE have types of their own. Every other command decodes to Other, which carries what is
// needed to refuse it. Messages, data sets and associations are the business of dicomnode.
package dimse
