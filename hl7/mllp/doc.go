// Package mllp carries HL7 messages over TCP: the Minimal Lower Layer Protocol (HL7 v2.5.1 appendix C), in which a message
// stands between 0B and 1C 0D. [Reader] and [Append] are the frame, [Server] takes messages and answers them, [Client] sends
// one and waits for what acknowledges it.
//
// A message is bytes here: what is in it, and what it is answered, is up to the handler. Of an answer the client knows
// MSA-2 alone, which must be the MSH-10 of what it sent. What other engines have lost messages by is held to: an answer
// that comes too late acknowledges nothing, for its connection is closed; half a message is none; a message is taken
// when the handler has returned, and only then answered.
//
// What senders do to frames is read where it is clear what they mean: bytes between frames, frame bytes that come twice,
// the last byte late or not at all, a frame begun anew after half of one. UTF-16 is not read: its frame bytes are none.
//
// TLS is the caller's configuration ([Files] loads one). Which hosts may connect is decided before anything is read; which
// applications may send, by the handler. Back-off between tries is the caller's.
package mllp
