package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// runtimeSHA256 is of libonnxruntime.so.1 as it lies in the archive; a test holds it against the file that make setup installs.
const runtimeSHA256 = "ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23"

// npm are the parts of deploy/npm.txt.
func npm(table string) ([]part, error) {
	var parts []part
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		if len(fields) != 7 {
			return nil, fmt.Errorf("deploy/npm.txt: %q has not seven fields", line)
		}
		digest, err := base64.StdEncoding.DecodeString(fields[4])
		if err != nil {
			return nil, fmt.Errorf("deploy/npm.txt: %s: %w", fields[1], err)
		}
		p := part{
			Name: fields[1], Version: fields[2], Licence: fields[3], Use: toBuildTest, SHA512: hex.EncodeToString(digest),
			PURL: "pkg:npm/" + strings.ReplaceAll(fields[1], "@", "%40") + "@" + fields[2],
		}
		if p.Name == "onnxruntime-node" {
			p.Use, p.Note, p.URL = beside, "libonnxruntime.so.1", "https://github.com/microsoft/onnxruntime"
			p.SHA256, p.Unstated, p.Texts = runtimeSHA256, true, []text{{"LICENSE", microsoft}}
			parts = append(parts, runtimeParts(p)...)
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// runtimeParts are what is linked into the ONNX Runtime library. Its archive does not say of which versions, nor does it hold their
// texts, which stand in ThirdPartyNotices.txt of the same version at its URL.
func runtimeParts(library part) []part {
	var parts []part
	for _, p := range []part{
		{Name: "abseil-cpp", Licence: "Apache-2.0", URL: "https://github.com/abseil/abseil-cpp"},
		{Name: "cpuinfo", Licence: "BSD-2-Clause", URL: "https://github.com/pytorch/cpuinfo"},
		{Name: "date", Licence: "MIT", URL: "https://github.com/HowardHinnant/date"},
		{Name: "eigen", Licence: "MPL-2.0", URL: "https://gitlab.com/libeigen/eigen"},
		{Name: "flatbuffers", Licence: "Apache-2.0", URL: "https://github.com/google/flatbuffers"},
		{Name: "gsl", Licence: "MIT", URL: "https://github.com/microsoft/GSL"},
		{Name: "mp11", Licence: "BSL-1.0", URL: "https://github.com/boostorg/mp11"},
		{Name: "nlohmann-json", Licence: "MIT", URL: "https://github.com/nlohmann/json"},
		{Name: "onnx", Licence: "Apache-2.0", URL: "https://github.com/onnx/onnx"},
		{Name: "protobuf", Licence: "BSD-3-Clause", URL: "https://github.com/protocolbuffers/protobuf"},
		{Name: "re2", Licence: "BSD-3-Clause", URL: "https://github.com/google/re2"},
		{Name: "SafeInt", Licence: "MIT", URL: "https://github.com/dcleblanc/SafeInt"},
	} {
		p.Use, p.Within, p.Note = beside, library.ref(), "in libonnxruntime.so.1"
		parts = append(parts, p)
	}
	return parts
}

// copied are works that are in the binary without being a module: in C beside Go, generated from, or embedded.
func copied(top string, modules []part) ([]part, error) {
	module := func(name string) (part, error) {
		for _, m := range modules {
			if m.Name == name {
				return m, nil
			}
		}
		return part{}, fmt.Errorf("go.mod has no %s", name)
	}
	driver, err := module("github.com/mattn/go-sqlite3")
	if err != nil {
		return nil, err
	}
	dir, err := goCommand("list", "-m", "-f", "{{.Dir}}", driver.Name)
	if err != nil {
		return nil, err
	}
	header, err := os.ReadFile(filepath.Join(strings.TrimSpace(dir), "sqlite3-binding.h"))
	if err != nil {
		return nil, err
	}
	version := regexp.MustCompile(`#define SQLITE_VERSION +"([0-9.]+)"`).FindSubmatch(header)
	if version == nil {
		return nil, fmt.Errorf("%s does not say its version of SQLite", driver.Name)
	}
	apache, err := licenceOf(modules, "Apache-2.0")
	if err != nil {
		return nil, err
	}
	return []part{
		{
			Name: "sqlite", Version: string(version[1]), PURL: "pkg:generic/sqlite@" + string(version[1]), URL: "https://www.sqlite.org", Licence: "blessing",
			Within: driver.ref(), Note: "the amalgamation in " + driver.Name,
		},
		{
			Name: "onnx.proto", URL: "https://github.com/onnx/onnx", Licence: "Apache-2.0", Note: "explain/onnxpb is generated from it",
			Texts: []text{{"LICENSE", apache}},
		},
		{
			Name: "turbo", URL: "https://research.google/blog/turbo-an-improved-rainbow-colormap-for-visualization/", Licence: "Apache-2.0",
			Note: "the colour map of A. Mikhailov, Google (2019), in explain/colourmap.go", Texts: []text{{"LICENSE", apache}},
		},
		{
			Name: "viridis, inferno", URL: "https://bids.github.io/colormap/", Licence: "CC0-1.0", Note: "colour maps of N. Smith and S. van der Walt (2015), in explain/colourmap.go",
			Texts: []text{{"NOTICE", "Dedicated to the public domain: CC0 1.0 Universal, https://creativecommons.org/publicdomain/zero/1.0/\n"}},
		},
		{
			Name: "DCMTK data dictionary", URL: "https://dicom.offis.de/dcmtk", Licence: "BSD-3-Clause", Note: "dicomnode/dicom/zdict.go is generated from it",
			Texts: []text{{"COPYRIGHT", offis}},
		},
		{
			Name: "HyperKvasir", URL: "https://datasets.simula.no/hyper-kvasir/", Licence: "CC-BY-4.0", Note: "three frames in inference/shipped, reduced; the demo model, frames and instances in testdata",
			Texts: []text{{"NOTICE", hyperKvasir}},
		},
	}, nil
}

// licenceOf is the text of a licence as a module has it that has no other.
func licenceOf(modules []part, id string) (string, error) {
	for _, m := range modules {
		if m.Licence == id {
			for _, t := range m.Texts {
				if licence([]text{t}) == id {
					return t.Content, nil
				}
			}
		}
	}
	return "", fmt.Errorf("no module has the text of %s", id)
}

// debian are packages as dpkg-query -W -f '${Package} ${Version} ${Architecture}\n' lists them. Their licences are in the files
// copyright that Debian ships with each.
func debian(list string) []part {
	var parts []part
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) == 3 {
			parts = append(parts, part{
				Name: f[0], Version: f[1], Use: inImage, Licence: "LicenseRef-Debian-copyright", Note: "/usr/share/doc/" + f[0] + "/copyright in the image",
				PURL: "pkg:deb/debian/" + f[0] + "@" + url.QueryEscape(f[1]) + "?arch=" + f[2],
			})
		}
	}
	return parts
}
