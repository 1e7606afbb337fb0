// Package fhir writes a report as FHIR R4 (4.0.1): a transaction bundle of Patient, ServiceRequest where there is an order,
// ImagingStudy, DiagnosticReport, an Observation for each finding, Device for each model, and Provenance.
//
// A bundle can be sent any number of times, and each later version of a report over the one before it: every resource has an
// identifier that is derived from what it is about. What others own (patient, order, study) is created only where the server
// has none of that identifier, and never changed; report and observations are the gateway's and updated by identifier
// (http.html#ccreate, #cond-update). References within the bundle are by UUIDs that are derived too, so that the same
// document gives the same bytes.
//
// A draft is partial and its observations preliminary; final and corrected are only what a person signed as verified. What a
// person rejected or took back is entered-in-error: it may have been sent before. No conformance to a profile is claimed:
// those for imaging reports want a signed one.
package fhir
