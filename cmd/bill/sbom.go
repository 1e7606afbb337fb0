package main

import (
	"fmt"
	"io"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// writeSBOM writes the bill of materials of a version of the binary. It has no date and no serial number, so that the same parts are
// the same bytes.
func writeSBOM(w io.Writer, version string, parts []part) error {
	endogate := cdx.Component{BOMRef: "endogate", Type: cdx.ComponentTypeApplication, Name: "endogate", Version: version, Description: "DICOM gateway for endoscopy and neural networks"}
	bom := cdx.NewBOM()
	bom.SerialNumber = ""
	bom.Metadata = &cdx.Metadata{Component: &endogate}
	components, dependencies := []cdx.Component{}, []cdx.Dependency{}
	needs, unstated := []string{}, []cdx.BOMReference{}
	within := map[string][]string{}
	for _, p := range parts {
		if p.Within != "" {
			within[p.Within] = append(within[p.Within], p.ref())
		}
	}
	for _, p := range parts {
		components = append(components, p.component())
		if p.Use != toBuildTest && p.Within == "" {
			needs = append(needs, p.ref())
		}
		if all := append(p.Needs, within[p.ref()]...); len(all) > 0 {
			dependencies = append(dependencies, cdx.Dependency{Ref: p.ref(), Dependencies: &all})
		}
		if p.Unstated {
			unstated = append(unstated, cdx.BOMReference(p.ref()))
		}
	}
	dependencies = append([]cdx.Dependency{{Ref: endogate.BOMRef, Dependencies: &needs}}, dependencies...)
	bom.Components, bom.Dependencies = &components, &dependencies
	bom.Compositions = &[]cdx.Composition{{Aggregate: cdx.CompositionAggregateIncomplete, Assemblies: &unstated}}
	encoder := cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON)
	encoder.SetPretty(true)
	encoder.SetEscapeHTML(false)
	if err := encoder.EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return fmt.Errorf("the bill was not written: %w", err)
	}
	return nil
}

func (p part) component() cdx.Component {
	c := cdx.Component{
		BOMRef: p.ref(), Type: cdx.ComponentTypeLibrary, Name: p.Name, Version: p.Version, PackageURL: p.PURL, Description: p.Note,
		Scope: cdx.ScopeRequired, Licenses: &cdx.Licenses{{Expression: p.Licence}},
	}
	if p.Use == toBuildTest {
		c.Scope = cdx.ScopeExcluded
	}
	if p.SHA256 != "" {
		c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: p.SHA256}}
	}
	var links []cdx.ExternalReference
	if p.URL != "" {
		links = append(links, cdx.ExternalReference{Type: cdx.ERTypeWebsite, URL: p.URL})
	}
	if p.SHA512 != "" {
		links = append(links, cdx.ExternalReference{
			Type: cdx.ERTypeDistribution, URL: "https://www.npmjs.com/package/" + p.Name + "/v/" + p.Version,
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA512, Value: p.SHA512}},
		})
	}
	if len(links) > 0 {
		c.ExternalReferences = &links
	}
	return c
}
