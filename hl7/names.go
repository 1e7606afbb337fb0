package hl7

import "strings"

// FieldName is what the standard calls a field of a segment (HL7 v2.5.1 chapters 2 to 4 and 7), empty for those that are not
// of the segments endogate reads or writes.
func FieldName(segment string, field int) string {
	names := fieldNames[segment]
	if field < 1 || field > len(names) {
		return ""
	}
	return names[field-1]
}

// lines splits a table of names, one a line.
func lines(table string) []string { return strings.Split(strings.TrimSpace(table), "\n") }

var fieldNames = map[string][]string{
	"MSH": lines(`
Field Separator
Encoding Characters
Sending Application
Sending Facility
Receiving Application
Receiving Facility
Date/Time Of Message
Security
Message Type
Message Control ID
Processing ID
Version ID
Sequence Number
Continuation Pointer
Accept Acknowledgment Type
Application Acknowledgment Type
Country Code
Character Set
Principal Language Of Message
Alternate Character Set Handling Scheme
Message Profile Identifier`),
	"MSA": lines(`
Acknowledgment Code
Message Control ID
Text Message
Expected Sequence Number
Delayed Acknowledgment Type
Error Condition`),
	"ERR": lines(`
Error Code and Location
Error Location
HL7 Error Code
Severity
Application Error Code
Application Error Parameter
Diagnostic Information
User Message
Inform Person Indicator
Override Type
Override Reason Code
Help Desk Contact Point`),
	"EVN": lines(`
Event Type Code
Recorded Date/Time
Date/Time Planned Event
Event Reason Code
Operator ID
Event Occurred
Event Facility`),
	"NTE": lines(`
Set ID
Source of Comment
Comment
Comment Type`),
	"PID": lines(`
Set ID
Patient ID
Patient Identifier List
Alternate Patient ID
Patient Name
Mother's Maiden Name
Date/Time of Birth
Administrative Sex
Patient Alias
Race
Patient Address
County Code
Phone Number - Home
Phone Number - Business
Primary Language
Marital Status
Religion
Patient Account Number
SSN Number
Driver's License Number
Mother's Identifier
Ethnic Group
Birth Place
Multiple Birth Indicator
Birth Order
Citizenship
Veterans Military Status
Nationality
Patient Death Date and Time
Patient Death Indicator
Identity Unknown Indicator
Identity Reliability Code
Last Update Date/Time
Last Update Facility
Species Code
Breed Code
Strain
Production Class Code
Tribal Citizenship`),
	"PV1": lines(`
Set ID
Patient Class
Assigned Patient Location
Admission Type
Preadmit Number
Prior Patient Location
Attending Doctor
Referring Doctor
Consulting Doctor
Hospital Service
Temporary Location
Preadmit Test Indicator
Re-admission Indicator
Admit Source
Ambulatory Status
VIP Indicator
Admitting Doctor
Patient Type
Visit Number`),
	"MRG": lines(`
Prior Patient Identifier List
Prior Alternate Patient ID
Prior Patient Account Number
Prior Patient ID
Prior Visit Number
Prior Alternate Visit ID
Prior Patient Name`),
	"ORC": lines(`
Order Control
Placer Order Number
Filler Order Number
Placer Group Number
Order Status
Response Flag
Quantity/Timing
Parent
Date/Time of Transaction
Entered By
Verified By
Ordering Provider
Enterer's Location
Call Back Phone Number
Order Effective Date/Time
Order Control Code Reason
Entering Organization
Entering Device
Action By
Advanced Beneficiary Notice Code
Ordering Facility Name
Ordering Facility Address
Ordering Facility Phone Number
Ordering Provider Address
Order Status Modifier
Advanced Beneficiary Notice Override Reason
Filler's Expected Availability Date/Time
Confidentiality Code
Order Type
Enterer Authorization Mode`),
	"OBR": lines(`
Set ID
Placer Order Number
Filler Order Number
Universal Service Identifier
Priority
Requested Date/Time
Observation Date/Time
Observation End Date/Time
Collection Volume
Collector Identifier
Specimen Action Code
Danger Code
Relevant Clinical Information
Specimen Received Date/Time
Specimen Source
Ordering Provider
Order Callback Phone Number
Placer Field 1
Placer Field 2
Filler Field 1
Filler Field 2
Results Rpt/Status Chng - Date/Time
Charge to Practice
Diagnostic Serv Sect ID
Result Status
Parent Result
Quantity/Timing
Result Copies To
Parent
Transportation Mode
Reason for Study
Principal Result Interpreter
Assistant Result Interpreter
Technician
Transcriptionist
Scheduled Date/Time
Number of Sample Containers
Transport Logistics of Collected Sample
Collector's Comment
Transport Arrangement Responsibility
Transport Arranged
Escort Required
Planned Patient Transport Comment
Procedure Code
Procedure Code Modifier
Placer Supplemental Service Information
Filler Supplemental Service Information
Medically Necessary Duplicate Procedure Reason
Result Handling`),
	"OBX": lines(`
Set ID
Value Type
Observation Identifier
Observation Sub-ID
Observation Value
Units
References Range
Abnormal Flags
Probability
Nature of Abnormal Test
Observation Result Status
Effective Date of Reference Range
User Defined Access Checks
Date/Time of the Observation
Producer's ID
Responsible Observer
Observation Method
Equipment Instance Identifier
Date/Time of the Analysis`),
	"TQ1": lines(`
Set ID
Quantity
Repeat Pattern
Explicit Time
Relative Time and Units
Service Duration
Start Date/Time
End Date/Time
Priority
Condition Text
Text Instruction
Conjunction
Occurrence Duration
Total Occurrences`),
	"IPC": lines(`
Accession Identifier
Requested Procedure ID
Study Instance UID
Scheduled Procedure Step ID
Modality
Protocol Code
Scheduled Station Name
Scheduled Procedure Step Location
Scheduled AE Title`),
	"ZDS": lines(`
Study Instance UID`), // IHE RAD TF-2: 4.4.4.1.2.3
}
