package draft

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

var update = flag.Bool("update", false, "write the golden files anew")

const schemaFile = "../../docs/draft.schema.json"

// enums are the values of types that have a few.
var enums = map[reflect.Type][]string{
	reflect.TypeFor[Standing]():      {string(Drafted), string(Signed), string(Amending), string(Amended), string(Withdrawn)},
	reflect.TypeFor[Fill]():          {string(FillPerson), string(FillOrder), string(FillAI), string(FillGateway)},
	reflect.TypeFor[Decision]():      {string(Proposed), string(Accepted), string(Rejected), string(Changed)},
	reflect.TypeFor[analysis.Role](): {string(analysis.RoleFinding), string(analysis.RoleLandmark), string(analysis.RoleQuality)},
}

// describer makes a JSON schema (2020-12) of Go types, with their comments.
type describer struct {
	comments map[string]string // of types and of fields (Type.Field)
	defs     map[string]any
}

// comments reads what is said of the types in files.
func comments(t *testing.T, files ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		require.NoError(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			decl, ok := n.(*ast.GenDecl)
			if !ok || decl.Tok != token.TYPE {
				return true
			}
			spec := decl.Specs[0].(*ast.TypeSpec)
			if _, ours := out[spec.Name.Name]; ours {
				return false // another package's of the same name
			}
			out[spec.Name.Name] = oneSpace(decl.Doc.Text())
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					for _, name := range f.Names {
						out[spec.Name.Name+"."+name.Name] = oneSpace(f.Doc.Text() + " " + f.Comment.Text())
					}
				}
			}
			return false
		})
	}
	return out
}

func (d describer) of(t reflect.Type) map[string]any {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[dicom.UID]():
		return map[string]any{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)*)?$`, "maxLength": 64}
	case enums[t] != nil:
		return map[string]any{"enum": enums[t]}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.of(t.Elem())
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": d.of(t.Elem())}
	case reflect.Array:
		return map[string]any{"type": "array", "items": d.of(t.Elem()), "minItems": t.Len(), "maxItems": t.Len()}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": d.of(t.Elem())}
	case reflect.Struct:
		if _, done := d.defs[t.Name()]; !done {
			d.defs[t.Name()] = nil // it may hold itself
			d.defs[t.Name()] = d.object(t)
		}
		return map[string]any{"$ref": "#/$defs/" + t.Name()}
	}
	panic("no schema for " + t.String())
}

func (d describer) object(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	d.fields(t, properties, &required)
	return map[string]any{"type": "object", "description": d.comments[t.Name()], "properties": properties, "required": required, "additionalProperties": false}
}

func (d describer) fields(t reflect.Type, properties map[string]any, required *[]string) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			d.fields(f.Type, properties, required)
			continue
		}
		p := d.of(f.Type)
		if c := d.comments[t.Name()+"."+f.Name]; c != "" {
			p["description"] = c
		}
		properties[name] = p
		if !strings.Contains(options, "omit") {
			*required = append(*required, name)
		}
	}
}

// written is the schema of a document as the types have it.
func written(t *testing.T) []byte {
	t.Helper()
	d := describer{comments(t, "document.go", "../../inference/analysis/analysis.go", "../../inference/analysis/course.go", "../../dicomnode/dicom/code.go", "../../dicomnode/dicom/instance.go"), map[string]any{}}
	root := d.object(reflect.TypeFor[Document]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = "urn:endogate:draft:1"
	root["title"] = Schema
	root["$defs"] = d.defs
	root["properties"].(map[string]any)["schema"] = map[string]any{"const": Schema}
	text, err := json.MarshalIndent(root, "", "  ")
	require.NoError(t, err)
	return append(text, '\n')
}

// The schema is that of the Go types. With -update it is written.
func TestSchema_ofTheTypes(t *testing.T) {
	text := written(t)
	if *update {
		require.NoError(t, os.WriteFile(schemaFile, text, 0o644))
	}
	want, err := os.ReadFile(schemaFile)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(text), "docs/draft.schema.json is not that of the types: go test ./reports/draft -run Schema -update writes it")
}

// schema checks documents by the file in docs.
func schema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	f, err := os.Open(schemaFile)
	require.NoError(t, err)
	defer f.Close()
	doc, err := jsonschema.UnmarshalJSON(f)
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource("urn:endogate:draft:1", doc))
	s, err := c.Compile("urn:endogate:draft:1")
	require.NoError(t, err)
	return s
}

func conforms(s *jsonschema.Schema, d Document) error {
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return s.Validate(value)
}

// Documents of every kind conform, and come back from their JSON as they were.
func TestSchema_documents(t *testing.T) {
	s := schema(t)
	d := made(t, sample())
	edited := applied(
		t, d, Edit{Op: OpChange, Finding: d.Findings[0].ID, Site: &sigmoid, Code: &dyed, SizeMM: new(4.5), Paris: new("0-IIa")},
		Edit{Op: OpAdd, Code: &polyp}, Edit{Op: OpChoose, Instance: study + ".1.4"},
	)
	signed, err := Default().Sign(edited, anna, noon, true)
	require.NoError(t, err)
	amending, err := Default().Amend(signed, anna, noon, "why")
	require.NoError(t, err)
	withdrawn, err := Default().Withdraw(amending, anna, noon, "why")
	require.NoError(t, err)
	late, err := Default().Refresh(signed, sample())
	require.NoError(t, err)
	bare, err := Default().New(Input{Study: study, At: noon})
	require.NoError(t, err)
	for _, d := range []Document{d, edited, signed, amending, withdrawn, late, bare} {
		require.NoError(t, conforms(s, d))
		text, err := json.Marshal(d)
		require.NoError(t, err)
		var back Document
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, content(d), content(back))
	}
	d.Standing = "published"
	require.Error(t, conforms(s, d))
	d = edited
	d.Findings = nil
	require.Error(t, conforms(s, d), "null is no list")
}
