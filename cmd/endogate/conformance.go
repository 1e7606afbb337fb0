package main

import (
	"fmt"
	"io"

	"endogate/cmd/endogate/gateway"
	"endogate/configs"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/reports/outbox"
)

type conformanceCmd struct{}

func (conformanceCmd) Run(c *cli, tty console) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	return writeConformance(tty.out, cfg)
}

// writeConformance writes the conformance statement (PS3.2) of a configuration, out of what is negotiated with.
func writeConformance(w io.Writer, cfg configs.Config) error {
	scp, err := gateway.AcceptedContexts(cfg.DICOM.SOPClasses)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, conformanceHead, cfg.DICOM.AETitle, dicom.ImplementationClassUID, dicom.ImplementationVersionName,
		cfg.DICOM.MaxPDULength, cfg.DICOM.MaxAssociations, cfg.DICOM.MaxPerPeer,
		cfg.DICOM.ARTIM.Std(), cfg.DICOM.IdleTimeout.Std(), cfg.DICOM.PDUTimeout.Std())
	return dicomnode.Conformance(w, scp, dicomnode.ContextsFor(outbox.Derived()...))
}

const conformanceHead = `# DICOM conformance statement

Written by ` + "`endogate conformance`" + ` from the tables that associations are negotiated with. Not a medical device.

| | |
|---|---|
| AE title | %s |
| Implementation Class UID | %s |
| Implementation Version Name | %s |
| Application context | 1.2.840.10008.3.1.1.1 |
| Maximum PDU length received | %d bytes |
| Associations at once | %d, of one calling AE title %d; beyond it A-ASSOCIATE-RJ 2/3/2 |
| ARTIM, idle and PDU timeouts | %v, %v, %v |
| Asynchronous operations | none: one message at a time |
| Character sets of received text | ISO_IR 6, 13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 149, 166, ISO 2022 with IR 58, 87, 149, 159, GB18030, GBK, ISO_IR 192 |
| Character set of what is made here | ISO_IR 192; where texts of the source are not of the set that it states, their bytes and that set, and UTF-8 in items of its own |
| Security | called and calling AE title and source network are checked; whoever is not listed is refused; where any calling title is listed, one with bytes outside of the default repertoire (PS3.5 6.2) is taken, with ? in place of each; TLS 1.2 and 1.3 after PS3.15 B.12 where dicom.tls is configured, with certificates of both sides, which can be bound to AE titles; user identity (PS3.7 D.3.3.7) of peers for whom it is configured: user name, user name and passcode, JSON Web Token |

An instance is kept byte for byte and answered after it is on disk. Statuses of C-STORE:

| Status | When |
|---|---|
| 0000 | the instance is durable; also when the same bytes are there already |
| A700 | no room on the disk, or another fault that passes: send again later |
| A900 | command and data set name different instances |
| C000 | the data set is cut off or cannot be read, or UIDs are missing or over 128 characters |
| 0117 | the SOP Instance UID of the command is no UID |
| 0122 | the SOP class is not the one of the presentation context |
| 0211 | an operation that is not offered |

What is sent: instances as they were received (where a route forwards them, in their own transfer syntax), and objects made here in
Explicit VR Little Endian, or in Implicit VR Little Endian to a peer that takes nothing else. A peer that refuses Comprehensive 3D SR
gets the same report as Comprehensive SR. 0000, B000, B006, B007 and 0111 count as delivered; A7xx, 0110, 0213, aborts and broken
connections are tried again; 0124 holds back the whole destination; a SOP class that is refused (0122, or its context) is offered again once a day;
the rest is parked for a person.

### DICOMweb (PS3.18)

| Service | Role | What |
|---|---|---|
| Studies Service, Search (QIDO-RS) | origin server | studies, series, instances that the spool still holds; keys by keyword or tag, wildcards, ranges, lists of UIDs; includefield, limit (500), offset; fuzzymatching is ignored, with Warning 299 |
| Studies Service, Retrieve (WADO-RS) | origin server | study, series, instance as they are stored (multipart/related; an instance alone also as application/dicom); metadata (application/dicom+json); frames (as they are stored, or application/octet-stream); rendered frames and thumbnails (image/jpeg, image/png; viewport, quality, window); bulk data |
| Studies Service, Store (STOW-RS) | origin server | Part 10 instances of the SOP classes and transfer syntaxes that associations are accepted for (below); a token stands for the calling AE title; Failure Reason is the status of C-STORE |

Statuses of a store: 200, 202 (some failed), 409 (all failed), 503 (all failed, some may be taken later), 415. Of the others: 200, 204 (no result), 206 (some instances have gone, or Accept does not take them), 304, 400, 401, 403, 404, 406, 409 (results that wait for a person),
410 (it was here and has gone), 413 (a search, or a list of frames, that is too large), 503 with Retry-After. Details: docs/dicomweb.md.

`
