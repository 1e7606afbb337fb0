package ledger

import (
	"time"

	"endogate/dicomnode/dicom"
)

// Priority is the lane of an order's jobs (HL7 table 0485, as DICOM has it in PS3.3 C.4.12).
type Priority string

// The priorities, most urgent first. STAT jobs begin before all others.
const (
	Stat    Priority = "STAT"
	High    Priority = "HIGH"
	Routine Priority = "ROUTINE"
)

// OrderState is what has become of an order.
type OrderState string

// The states of an order.
const (
	OrderOpen      OrderState = "open"
	OrderStarted   OrderState = "in-progress"
	OrderCompleted OrderState = "completed" // the examination is over: its report waits no longer
	OrderCancelled OrderState = "cancelled"
)

// Identifier is an identifier with who assigned it (HL7 EI, CX); the authority is empty where nobody says.
type Identifier struct {
	ID        string `json:"id"`
	Authority string `json:"authority,omitempty"`
}

// Person is a patient as orders and demographic updates say. Empty is unknown.
type Person struct {
	Identifier `json:"identifier"`
	Others     []Identifier `json:"others,omitempty"` // further repetitions of PID-3
	Name       string       `json:"name"`             // as PS3.5 6.2 PN writes it
	BirthDate  string       `json:"birth_date"`       // YYYYMMDD
	Sex        string       `json:"sex"`              // M, F, O or empty
}

// Order is an imaging order, as its last message left it. An order of several procedure steps (IPC) is one order with
// several steps.
type Order struct {
	Accession            string     `json:"accession"`
	StudyInstanceUID     dicom.UID  `json:"study_uid"`
	Placer               Identifier `json:"placer"`
	Filler               Identifier `json:"filler"`
	Patient              Person     `json:"patient"`
	RequestedProcedureID string     `json:"requested_procedure_id"`
	Service              dicom.Code `json:"service"` // OBR-4, as Scheme writes it there
	Reason               string     `json:"reason"`
	Requester            string     `json:"requester"` // OBR-16, as PN
	Referrer             string     `json:"referrer"`  // PV1-8, as PN
	Priority             Priority   `json:"priority"`
	Steps                []Step     `json:"steps"`
	State                OrderState `json:"state"`
	Sender               string     `json:"sender"`  // MSH-3 of the last message
	Message              string     `json:"message"` // its spool entry
	ChangedAt            time.Time  `json:"changed_at"`
}

// Step is a scheduled procedure step of an order.
type Step struct {
	ID          string        `json:"id"`
	Modality    string        `json:"modality"`
	Protocol    dicom.Code    `json:"protocol"`
	StationName string        `json:"station_name"`
	StationAE   dicom.AETitle `json:"station_ae"`
	Performer   string        `json:"performer"` // OBR-34, as PN
	StartsAt    time.Time     `json:"starts_at,omitzero"`
}
