package gateway

import (
	"endogate/configs"
	"endogate/reports/draft"
)

// Templates loads what drafts are written with. They can be written in the configured language.
func Templates(cfg configs.Config) (*draft.Templates, error) {
	t, err := draft.Load(cfg.Reports.Templates)
	if err != nil {
		return nil, err
	}
	if err := t.Speaks(cfg.Reports.Language); err != nil {
		return nil, configs.Fault("reports.language", "%v", err)
	}
	return t, nil
}
