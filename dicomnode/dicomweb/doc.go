// Package dicomweb serves what the spool still holds to viewers and archives (PS3.18): search (QIDO-RS, 10.6), retrieval of
// instances, metadata, frames and bulk data (WADO-RS, 10.4). It takes instances in (STOW-RS, 10.5) through the handler that takes
// those of associations, so that they are as durable and go the same way.
//
// It keeps nothing of its own. What is there says the ledger, what is in it the data sets themselves, so that an answer is
// never of another content than the bytes that a retrieval gives. What was there once and has gone is 410 with the reason,
// what never was 404. Of a study whose results wait for a person, as images, order and patient do not agree, the images alone
// are there.
//
// Whatever the size of an object, a request holds a frame of it in memory at most. How many requests are served at once, how
// many of them decode, and how slowly an answer may be taken is bounded, so that viewers do not slow down what comes in.
//
// A video is played as it is stored, or its packets in an MP4 file, by ranges of bytes; its frames are decoded one by one.
//
// Who may ask is decided before a request comes here, and so is what is recorded of it. It leaves out worklists (UPS-RS),
// native XML, transcoding of whole instances, and WADO-URI.
package dicomweb
