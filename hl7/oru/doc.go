// Package oru writes a report as an observation message: ORU^R01 of HL7 2.5.1 (7.3.1), from a draft of any standing.
//
// What is in which field stands in [Segments] and [Rows], in the language of templates: text as it stands in a message, with
// the names of [Values] in braces. A receiver that wants a field otherwise has a template of its own for it, so that nothing
// of the message is written by other means, and docs/hl7.md is made of these tables.
//
// A status that claims verification (F, C) is only sent of a report that a person signed as verified, and every text of one
// that is not begins "AI DRAFT - NOT VERIFIED". The same document gives the same bytes, with the same control ID (MSH-10):
// a receiver knows what it has already.
package oru
