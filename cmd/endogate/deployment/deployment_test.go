// Package deployment holds what is in deploy/ against the tools and schemas of those who take it: systemd units, a container,
// Kubernetes manifests.
package deployment

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"endogate/cmd/endogate/installed"
	"endogate/configs"
	"endogate/inference"
	"endogate/inference/jobs"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// maxExposure is how much of a machine a service may reach, in tenths of what systemd-analyze security says: 10.0 is all.
const maxExposure = "20"

func TestUnits(t *testing.T) {
	installed.Require(t, "systemd-analyze")
	units, err := filepath.Glob("../../../deploy/systemd/*.service")
	require.NoError(t, err)
	require.Len(t, units, 2)
	for _, unit := range units {
		t.Run(filepath.Base(unit), func(t *testing.T) {
			text, err := os.ReadFile(unit)
			require.NoError(t, err)
			binary := filepath.Join(t.TempDir(), "endogate") // verify wants it to be there
			require.NoError(t, os.WriteFile(binary, []byte("#!/bin/sh\n"), 0o755))
			require.Contains(t, string(text), "/usr/local/bin/endogate")
			there := filepath.Join(t.TempDir(), filepath.Base(unit))
			require.NoError(t, os.WriteFile(there, bytes.ReplaceAll(text, []byte("/usr/local/bin/endogate"), []byte(binary)), 0o600))
			out, err := exec.Command("systemd-analyze", "verify", "--man=no", there).CombinedOutput()
			require.NoError(t, err, string(out))
			assert.Empty(t, string(out), "systemd-analyze has a complaint")
			out, err = exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold="+maxExposure, there).CombinedOutput()
			require.NoError(t, err, string(out))

			stop := setting(t, string(text), "TimeoutStopSec")
			seconds, err := time.ParseDuration(stop + "s")
			require.NoError(t, err)
			assert.GreaterOrEqual(t, seconds, 2*configs.Default().Drain.Std(), "a stop must have time to drain and to close")
			if strings.Contains(string(text), "endogate serve") { // a worker keeps nothing
				assert.Equal(t, "/var/lib/"+setting(t, string(text), "StateDirectory"), installedConfig(t).DataDir)
				assert.NotContains(t, string(text), "ENDOGATE_", "what is set in the unit alone is not so for the other commands")
			}
		})
	}
	users, err := filepath.Abs("../../../deploy/systemd/endogate-sysusers.conf")
	require.NoError(t, err)
	out, err := exec.Command("systemd-sysusers", "--dry-run", users).CombinedOutput()
	require.NoError(t, err, string(out))
}

// installedConfig is the configuration as docs/deploy.md installs it.
func installedConfig(t *testing.T) configs.Config {
	t.Helper()
	doc, err := os.ReadFile("../../../docs/deploy.md")
	require.NoError(t, err)
	edit := regexp.MustCompile(`sed -i ('[^']+') /etc/endogate/endogate.yaml`).FindSubmatch(doc)
	require.NotNil(t, edit, "no step sets data_dir")
	text, err := os.ReadFile("../../../configs/endogate.yaml")
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "endogate.yaml")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	out, err := exec.Command("sh", "-c", "sed -i "+string(edit[1])+" "+file).CombinedOutput()
	require.NoError(t, err, string(out))
	cfg, err := configs.Load(file)
	require.NoError(t, err)
	return cfg
}

// setting returns the only value of a key of a unit.
func setting(t *testing.T, unit, key string) string {
	t.Helper()
	_, rest, found := strings.Cut(unit, "\n"+key+"=")
	require.True(t, found, key)
	value, rest, _ := strings.Cut(rest, "\n")
	require.NotContains(t, rest, "\n"+key+"=")
	return value
}

// What is in the container finds every library there, and is in its bill of materials, with its licence.
func TestContainer_librariesAreThere(t *testing.T) {
	binary, err := filepath.Abs("../../../bin/endogate")
	require.NoError(t, err)
	library, err := filepath.Abs("../../../bin/lib/libonnxruntime.so.1")
	require.NoError(t, err)
	installed.Require(t, binary, library, "ffmpeg")
	root := filepath.Join(t.TempDir(), "root")
	out, err := exec.Command("../../../deploy/container.sh", "--ffmpeg", "--root="+root).CombinedOutput()
	require.NoError(t, err, string(out))
	there := map[string]bool{}
	var files []string
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			there[d.Name()] = true
			files = append(files, path)
		}
		return err
	}))
	for _, name := range []string{"endogate", "ffmpeg", "libonnxruntime.so.1", "ca-certificates.crt", "DroidSansFallbackFull.ttf"} {
		assert.True(t, there[name], name)
	}
	for _, path := range files {
		f, err := elf.Open(path)
		if err != nil {
			continue // a certificate or a time zone
		}
		needed, err := f.ImportedLibraries()
		require.NoError(t, err)
		for _, name := range needed {
			assert.True(t, there[name], "%s needs %s", path, name)
		}
		f.Close()
	}
	bill, err := os.ReadFile(filepath.Join(root, "usr/share/doc/endogate/sbom.cdx.json"))
	require.NoError(t, err)
	assert.NotContains(t, string(bill), `"unreleased"`)
	for _, name := range []string{"libc6", "ffmpeg", "libavcodec59", "fonts-droid-fallback", "tzdata", "ca-certificates"} {
		assert.Contains(t, string(bill), "pkg:deb/debian/"+name+"@")
		assert.FileExists(t, filepath.Join(root, "usr/share/doc", name, "copyright"))
	}
	assert.FileExists(t, filepath.Join(root, "usr/share/doc/endogate/LICENCES.txt"))
	assert.FileExists(t, filepath.Join(root, "usr/share/common-licenses/GPL-2"))
}

// object is one of the objects of a manifest.
type object = map[string]any

// manifests are the objects of all files.
func manifests(t *testing.T) []object {
	t.Helper()
	files, err := filepath.Glob("../../../deploy/kubernetes/*.yaml")
	require.NoError(t, err)
	var all []object
	for _, file := range files {
		f, err := os.Open(file)
		require.NoError(t, err)
		defer f.Close()
		decoder := yaml.NewDecoder(f)
		for {
			var o object
			if err := decoder.Decode(&o); errors.Is(err, io.EOF) {
				break
			} else {
				require.NoError(t, err, file)
			}
			all = append(all, o)
		}
	}
	return all
}

// at walks down the keys of an object.
func at[T any](t *testing.T, o object, keys ...string) T {
	t.Helper()
	var value any = o
	for _, key := range keys {
		inner, ok := value.(object)
		require.True(t, ok, "%v in %v", keys, o["kind"])
		value = inner[key]
	}
	typed, ok := value.(T)
	require.True(t, ok, "%v of %v: %T", keys, o["kind"], value)
	return typed
}

// faults holds objects against the schemas.
func faults(t *testing.T, objects []object) []string {
	t.Helper()
	const modules = "../../../bin/kubernetes/node_modules"
	absolute, err := filepath.Abs(modules)
	require.NoError(t, err)
	installed.Require(t, "node", filepath.Join(absolute, "kubernetes-models"), filepath.Join(absolute, "@kubernetes-models/keda"))
	text, err := json.Marshal(objects)
	require.NoError(t, err)
	check := exec.Command("node", "testdata/schema.mjs", absolute)
	check.Stdin = bytes.NewReader(text)
	var complaints bytes.Buffer
	check.Stderr = &complaints
	out, err := check.Output()
	require.NoError(t, err, complaints.String())
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
}

func TestManifests_schemas(t *testing.T) {
	all := manifests(t)
	kinds := map[string]int{}
	for _, o := range all {
		kinds[o["kind"].(string)]++
	}
	assert.Equal(t, map[string]int{
		"ConfigMap": 3, "Service": 3, "StatefulSet": 2, "Deployment": 1, "PodDisruptionBudget": 3, "PersistentVolumeClaim": 1,
		"NetworkPolicy": 1, "ScaledObject": 1,
	}, kinds)
	assert.Empty(t, faults(t, all))
}

// The check finds what it is for.
func TestManifests_faultsAreSeen(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(object)
		kind  string
		want  string
	}{
		{"a key that is none", func(o object) { at[object](t, o, "spec", "template", "spec")["terminationGracePeriod"] = 30 }, "StatefulSet", "/spec/template/spec/terminationGracePeriod: no such key"},
		{"a wrong type", func(o object) { at[object](t, o, "spec")["replicas"] = "three" }, "StatefulSet", `/spec/replicas type {"type":"integer"}`},
		{"no quantity", func(o object) {
			claim := at[[]any](t, o, "spec", "volumeClaimTemplates")[0].(object)
			at[object](t, claim, "spec", "resources", "requests")["storage"] = "10 GB"
		}, "StatefulSet", `storage`},
		{"something required", func(o object) { delete(at[object](t, o, "spec"), "scaleTargetRef") }, "ScaledObject", `required {"missingProperty":"scaleTargetRef"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, o := range manifests(t) {
				if o["kind"] == tt.kind {
					tt.spoil(o)
					found := faults(t, []object{o})
					require.NotEmpty(t, found)
					assert.Contains(t, strings.Join(found, "\n"), tt.want)
					return
				}
			}
			require.Fail(t, "no "+tt.kind)
		})
	}
}

// What the manifests say to each other, to endogate and to NATS is so.
func TestManifests_fitTogether(t *testing.T) {
	for _, o := range manifests(t) {
		switch o["kind"] {
		case "ConfigMap":
			for name, text := range at[object](t, o, "data") {
				path := filepath.Join(t.TempDir(), name)
				require.NoError(t, os.WriteFile(path, []byte(text.(string)), 0o600))
				switch name {
				case "endogate.yaml":
					cfg, err := configs.Load(path)
					require.NoError(t, err)
					assert.Equal(t, "nats://endogate-nats:4222", cfg.NATS.URL)
					assert.Equal(t, 3, cfg.NATS.Replicas, "a broker that is lost takes no job with it")
				case "worker.yaml":
					cfg, err := configs.LoadWorker(path)
					require.NoError(t, err)
					assert.Equal(t, "nats://endogate-nats:4222", cfg.NATS.URL)
				case "nats.conf":
					t.Setenv("POD_NAME", "endogate-nats-0")
					options, err := server.ProcessConfigFile(path)
					require.NoError(t, err)
					assert.True(t, options.JetStream)
					assert.Len(t, options.Routes, 3)
				default:
					require.Fail(t, "a file that nobody reads", name)
				}
			}
		case "StatefulSet", "Deployment":
			pod := at[object](t, o, "spec", "template", "spec")
			assert.Equal(t, at[object](t, o, "spec", "selector", "matchLabels")["app.kubernetes.io/name"], at[object](t, o, "metadata")["name"])
			seconds := at[int](t, pod, "terminationGracePeriodSeconds")
			assert.Greater(t, time.Duration(seconds)*time.Second, configs.Default().Drain.Std())
		case "ScaledObject":
			var consumers []string
			for _, trigger := range at[[]any](t, o, "spec", "triggers") {
				assert.Equal(t, jobs.Stream, at[string](t, trigger.(object), "metadata", "stream"))
				consumers = append(consumers, at[string](t, trigger.(object), "metadata", "consumer"))
			}
			demo, err := inference.LoadBundle("../../../testdata/models/demo")
			require.NoError(t, err)
			queue := jobs.Model{Name: demo.Name, Version: demo.Version, Digest: demo.Digest}
			assert.Equal(t, queue.Queues(), consumers)
		}
	}
}
