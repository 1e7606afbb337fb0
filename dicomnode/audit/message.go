// Package audit keeps the audit trail of a gateway: who looked at, changed, signed, sent or was refused what, as messages of
// PS3.15 A.5, in a log that nobody can change, cut or make anew without being found out.
//
// Each entry is bound to all before it by an HMAC (RFC 2104) whose key lies elsewhere; the head of the chain goes to a file
// beside the key, and with every message to a syslog server over TLS (RFC 5425), from the log itself, which is its spool.
package audit

import (
	"encoding/base64"
	"encoding/xml"
	"net/netip"
	"time"
)

// Code is a coded value of an audit message.
type Code struct {
	Value   string `xml:"csd-code,attr"`
	Scheme  string `xml:"codeSystemName,attr"`
	Meaning string `xml:"originalText,attr"`
}

func dcm(value, meaning string) Code { return Code{value, "DCM", meaning} }

// What happened (PS3.16 CID 400).
var (
	ApplicationActivity  = dcm("110100", "Application Activity")
	LogUsed              = dcm("110101", "Audit Log Used")
	BeginTransferring    = dcm("110102", "Begin Transferring DICOM Instances")
	InstancesAccessed    = dcm("110103", "DICOM Instances Accessed")
	InstancesTransferred = dcm("110104", "DICOM Instances Transferred")
	Export               = dcm("110106", "Export")
	OrderRecord          = dcm("110109", "Order Record")
	PatientRecord        = dcm("110110", "Patient Record")
	ProcedureRecord      = dcm("110111", "Procedure Record")
	Query                = dcm("110112", "Query")
	SecurityAlert        = dcm("110113", "Security Alert")
	UserAuthentication   = dcm("110114", "User Authentication")
)

// Of which kind (PS3.16 CID 401).
var (
	ApplicationStart       = dcm("110120", "Application Start")
	ApplicationStop        = dcm("110121", "Application Stop")
	Login                  = dcm("110122", "Login")
	Logout                 = dcm("110123", "Logout")
	NodeAuthentication     = dcm("110126", "Node Authentication")
	EmergencyOverride      = dcm("110127", "Emergency Override Started")
	UseOfRestricted        = dcm("110132", "Use of Restricted Function")
	UserSecurityAttributes = dcm("110137", "User Security Attributes Changed")
	ObjectSecurity         = dcm("110138", "Object Security Attributes Changed")
	NetworkConfiguration   = dcm("110128", "Network Configuration")
	SoftwareConfiguration  = dcm("110131", "Software Configuration")
)

// Roles of participants (PS3.16 CID 402).
var (
	Application = dcm("110150", "Application")
	Launcher    = dcm("110151", "Application Launcher")
	Destination = dcm("110152", "Destination")
	Source      = dcm("110153", "Source")
)

// Action is what was done to the objects.
type Action string

// The actions (PS3.15 A.5.1).
const (
	Create  Action = "C"
	Read    Action = "R"
	Update  Action = "U"
	Delete  Action = "D"
	Execute Action = "E"
)

// Outcome is how it ended.
type Outcome string

// The outcomes (PS3.15 A.5.1).
const (
	Success Outcome = "0"
	Minor   Outcome = "4" // it was refused, or failed
	Serious Outcome = "8"
	Major   Outcome = "12" // the application is down
)

// Event is something that an auditor may ask for. It holds who and whose, and no picture, report or secret.
type Event struct {
	ID           Code
	Type         Code // the zero value: of none
	Action       Action
	At           time.Time // when; the zero value: when it is recorded
	Outcome      Outcome   // empty: success
	Why          string    // of an outcome that is no success, or what a person gave as reason
	Participants []Participant
	Objects      []Object
}

// Participant had a part in it.
type Participant struct {
	ID        string // a user's name, a token's, an AE title, the process
	AETitle   string // of one that speaks DICOM
	Role      Code   // the zero value: of none
	Requested bool   // it is who asked
	Address   netip.Addr
}

// Object is what it was about.
type Object struct {
	Kind   ObjectKind
	ID     string
	Name   string            // of a user, a function or a parameter; never of a patient
	Counts map[string]int    // of a study: instances by SOP Class UID
	Detail map[string]string // such as the version of a draft
}

// ObjectKind says what an object is: its type, role and kind of identifier (PS3.15 A.5.1 and RFC 3881 5.5).
type ObjectKind struct {
	typeCode, role string
	id             Code
}

// The kinds.
var (
	Patient  = ObjectKind{"1", "1", Code{"2", "RFC-3881", "Patient Number"}}
	Study    = ObjectKind{"2", "3", dcm("110180", "Study Instance UID")}
	Report   = ObjectKind{"2", "3", Code{"9", "RFC-3881", "Report Number"}}
	User     = ObjectKind{"1", "6", Code{"11", "RFC-3881", "User Identifier"}}
	URI      = ObjectKind{"2", "4", Code{"12", "RFC-3881", "URI"}}
	LogFile  = ObjectKind{"2", "13", Code{"12", "RFC-3881", "URI"}}
	Security = ObjectKind{"2", "13", Code{"12", "RFC-3881", "URI"}}
	Node     = ObjectKind{"2", "13", dcm("110182", "Node ID")}
)

// The elements of a message, in the order of the schema (PS3.15 A.5.1.1).
type message struct {
	XMLName xml.Name `xml:"AuditMessage"`
	Event   struct {
		Action  Action  `xml:"EventActionCode,attr,omitempty"`
		At      string  `xml:"EventDateTime,attr"`
		Outcome Outcome `xml:"EventOutcomeIndicator,attr"`
		ID      Code    `xml:"EventID"`
		Type    *Code   `xml:"EventTypeCode"`
		Why     string  `xml:"EventOutcomeDescription,omitempty"`
	} `xml:"EventIdentification"`
	Participants []participant `xml:"ActiveParticipant"`
	Source       struct {
		ID   string `xml:"AuditSourceID,attr"`
		Type struct {
			Value string `xml:"csd-code,attr"`
		} `xml:"AuditSourceTypeCode"`
	} `xml:"AuditSourceIdentification"`
	Objects []object `xml:"ParticipantObjectIdentification"`
}

type participant struct {
	UserID      string `xml:"UserID,attr"`
	AETitles    string `xml:"AlternativeUserID,attr,omitempty"` // as PS3.15 A.5.2 writes them
	Requested   bool   `xml:"UserIsRequestor,attr"`
	Address     string `xml:"NetworkAccessPointID,attr,omitempty"`
	AddressType string `xml:"NetworkAccessPointTypeCode,attr,omitempty"`
	Role        *Code  `xml:"RoleIDCode"`
}

type object struct {
	ID          string       `xml:"ParticipantObjectID,attr"`
	TypeCode    string       `xml:"ParticipantObjectTypeCode,attr"`
	Role        string       `xml:"ParticipantObjectTypeCodeRole,attr"`
	IDType      Code         `xml:"ParticipantObjectIDTypeCode"`
	Name        string       `xml:"ParticipantObjectName"`
	Detail      []detail     `xml:"ParticipantObjectDetail"`
	Description *description `xml:"ParticipantObjectDescription"`
}

type detail struct {
	Type  string `xml:"type,attr"`
	Value string `xml:"value,attr"` // base64
}

type description struct {
	Classes []class `xml:"SOPClass"`
}

type class struct {
	UID   string `xml:"UID,attr"`
	Count int    `xml:"NumberOfInstances,attr"`
}

// marshal writes the message of e as of at and source. What is no character of XML in a value becomes U+FFFD.
func (e Event) marshal(at time.Time, source string) ([]byte, error) {
	if !e.At.IsZero() {
		at = e.At.UTC()
	}
	var m message
	m.Event.Action, m.Event.At, m.Event.ID, m.Event.Why = e.Action, at.Format("2006-01-02T15:04:05.000Z07:00"), e.ID, e.Why
	if m.Event.Outcome = e.Outcome; m.Event.Outcome == "" {
		m.Event.Outcome = Success
	}
	m.Event.Type = some(e.Type)
	m.Source.ID, m.Source.Type.Value = source, "4" // an application server
	for _, p := range e.Participants {
		w := participant{UserID: p.ID, Requested: p.Requested, Role: some(p.Role)}
		if p.AETitle != "" {
			w.AETitles = "AETITLES=" + p.AETitle
		}
		if p.Address.IsValid() {
			w.Address, w.AddressType = p.Address.Unmap().WithZone("").String(), "2" // an IP address
		}
		m.Participants = append(m.Participants, w)
	}
	for _, o := range e.Objects {
		w := object{ID: o.ID, TypeCode: o.Kind.typeCode, Role: o.Kind.role, IDType: o.Kind.id, Name: o.Name}
		for _, name := range sorted(o.Detail) {
			w.Detail = append(w.Detail, detail{name, base64.StdEncoding.EncodeToString([]byte(o.Detail[name]))})
		}
		for _, uid := range sorted(o.Counts) {
			if w.Description == nil {
				w.Description = &description{}
			}
			w.Description.Classes = append(w.Description.Classes, class{uid, o.Counts[uid]})
		}
		m.Objects = append(m.Objects, w)
	}
	return xml.Marshal(m)
}

func some(c Code) *Code {
	if c == (Code{}) {
		return nil
	}
	return &c
}
