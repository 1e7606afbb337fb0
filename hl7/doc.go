// Package hl7 reads and writes messages of HL7 version 2 (chapter 2 of versions 2.1 to 2.8): segments, fields,
// repetitions, components and subcomponents by the delimiters that the message states, escape sequences, character sets
// of MSH-18 (table 0211), acknowledgements of the original and the enhanced mode, and the data types that orders and
// reports need (DTM, XPN, CX, EI).
//
// A Message keeps the bytes it was read from: what is not set is written back byte for byte. Text is decoded when it is
// asked for, a value at a time. Parse takes bytes from strangers: sizes and counts are bounded, an error names the place
// and never the content, and text that cannot be told for sure is an error, never a guessed letter.
//
// It leaves out what messages mean (package hl7/orders), their way over the wire (package hl7/mllp), batches (FHS, BHS),
// the checking of optionality, lengths and tables, and continuation segments (ADD, DSC).
package hl7
