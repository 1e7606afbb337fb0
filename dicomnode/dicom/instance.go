package dicom

// SOPInstance names one SOP Instance and its place in the study (PS3.3 A.1.2).
type SOPInstance struct {
	SOPClassUID       UID `json:"sop_class_uid"`
	SOPInstanceUID    UID `json:"sop_instance_uid"`
	SeriesInstanceUID UID `json:"series_instance_uid"`
	StudyInstanceUID  UID `json:"study_instance_uid"`
}

// Header holds the attributes that the gateway routes and files an instance by, decoded to UTF-8.
// It carries patient data: it goes into the spool and the ledger, never into a log line or a job.
type Header struct {
	SOPInstance
	PatientID         string `json:"patient_id,omitempty"`
	IssuerOfPatientID string `json:"issuer_of_patient_id,omitempty"`
	PatientName       string `json:"patient_name,omitempty"`
	PatientBirthDate  string `json:"patient_birth_date,omitempty"`
	PatientSex        string `json:"patient_sex,omitempty"`
	AccessionNumber   string `json:"accession_number,omitempty"`
	Modality          string `json:"modality,omitempty"`
	StationName       string `json:"station_name,omitempty"`
	ProcedureCode     string `json:"procedure_code,omitempty"` // Code Value of the first Procedure Code Sequence item
	StudyDate         string `json:"study_date,omitempty"`
	StudyTime         string `json:"study_time,omitempty"`
	StudyDescription  string `json:"study_description,omitempty"`
	InstanceNumber    int    `json:"instance_number,omitempty"`
	NumberOfFrames    int    `json:"number_of_frames,omitempty"` // 1 where the attribute is absent
	Remarks           string `json:"remarks,omitempty"`          // what is wrong with the data set, which is kept all the same; no patient data
}
