package gateway

import (
	"time"

	"endogate/configs"
	"endogate/reports"
)

// NewBuilder makes the builder of all objects, as configured.
func NewBuilder(cfg configs.Config, build Build) (*reports.Builder, error) {
	zone, err := time.LoadLocation(cfg.Reports.TimeZone)
	if err != nil {
		return nil, err
	}
	return &reports.Builder{
		Equipment: reports.Equipment{
			Manufacturer: "endogate", ModelName: "endogate", SoftwareVersion: build.Version,
			SerialNumber: cfg.Reports.DeviceSerialNumber, StationName: cfg.Reports.StationName,
			InstitutionName: cfg.Reports.InstitutionName,
		},
		Location: zone, KeyFrames: cfg.Reports.KeyImages,
	}, nil
}
