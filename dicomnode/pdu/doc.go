// Package pdu holds the protocol data units of the DICOM Upper Layer (PS3.8 9.3) as bytes and as Go values,
// and a Reader that takes them off a connection with one buffer and a length limit per type.
//
// Every PDU type and every item and sub-item of PS3.8 9.3 and PS3.7 D.3.3 is here; items that are not
// known are kept as they came. Deadlines, negotiation and the order of PDUs are the business of dicomnode.
package pdu
