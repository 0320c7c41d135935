package cargo_test

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
	starlarkjson "go.starlark.net/lib/json"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"
)

// A loader loads the .bzl files of this directory without an engine. The pure
// functions need no more than struct, json and gorules.sha256.
type loader struct {
	modules map[string]starlark.StringDict
}

func newLoader() *loader { return &loader{modules: map[string]starlark.StringDict{}} }

func (l *loader) load(_ *starlark.Thread, module string) (starlark.StringDict, error) {
	name := strings.TrimPrefix(module, ":")
	if m, ok := l.modules[name]; ok {
		return m, nil
	}
	src, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	thread := &starlark.Thread{Name: name, Load: l.load}
	m, err := starlark.ExecFileOptions(&syntax.FileOptions{Set: true}, thread, name, src, predeclared())
	if err != nil {
		return nil, err
	}
	m.Freeze()
	l.modules[name] = m
	return m, nil
}

// tryCall calls a function of a .bzl file.
func (l *loader) tryCall(file, function string, args starlark.Tuple, kwargs ...starlark.Tuple) (starlark.Value, error) {
	m, err := l.load(nil, file)
	if err != nil {
		return nil, err
	}
	v, err := starlark.Call(&starlark.Thread{Name: function, Load: l.load}, m[function], args, kwargs)
	var evalErr *starlark.EvalError
	if errors.As(err, &evalErr) {
		return nil, errors.New(evalErr.Backtrace())
	}
	return v, err
}

// call is tryCall that must succeed.
func (l *loader) call(t testing.TB, file, function string, args starlark.Tuple, kwargs ...starlark.Tuple) starlark.Value {
	t.Helper()
	v, err := l.tryCall(file, function, args, kwargs...)
	if err != nil {
		t.Fatalf("%s: %v", function, err)
	}
	return v
}

func kwarg(name string, v starlark.Value) starlark.Tuple {
	return starlark.Tuple{starlark.String(name), v}
}

func predeclared() starlark.StringDict {
	sha := func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var s string
		if err := starlark.UnpackArgs(b.Name(), args, kwargs, "text", &s); err != nil {
			return nil, err
		}
		sum := sha256.Sum256([]byte(s))
		return starlark.String(hex.EncodeToString(sum[:])), nil
	}
	// Rules and providers are made when a file loads; the functions tested here do not use them.
	var docs []string
	env := starlark.StringDict{}
	for _, name := range []string{"rule", "attr", "provider", "depset", "DefaultInfo", "OutputGroupInfo", "SummaryInfo", "TestResultsInfo", "TestVerdictInfo"} {
		env[name] = anything{&docs}
	}
	maps.Copy(env, starlark.StringDict{
		"struct": starlark.NewBuiltin("struct", starlarkstruct.Make),
		"json":   starlarkjson.Module,
		"gorules": &starlarkstruct.Module{Name: "gorules", Members: starlark.StringDict{
			"sha256":      starlark.NewBuiltin("gorules.sha256", sha),
			"toml_decode": starlark.NewBuiltin("gorules.toml_decode", tomlDecode),
		}},
	})
	return env
}

func tomlDecode(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var s string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "text", &s); err != nil {
		return nil, err
	}
	doc := map[string]any{}
	if err := toml.Unmarshal([]byte(s), &doc); err != nil {
		return nil, err
	}
	data, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	return starlark.Call(&starlark.Thread{}, starlarkjson.Module.Members["decode"], starlark.Tuple{starlark.String(data)}, nil)
}

// fixture reads a gzipped file of testdata.
func fixture(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open("testdata/" + name + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// decode turns JSON text into Starlark values as json.decode does.
func decode(t testing.TB, data []byte) starlark.Value {
	t.Helper()
	v, err := starlark.Call(&starlark.Thread{}, starlarkjson.Module.Members["decode"], starlark.Tuple{starlark.String(data)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// toStarlark turns what encoding/json can write into Starlark values.
func toStarlark(t testing.TB, x any) starlark.Value {
	t.Helper()
	data, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, data)
}

// manifests decodes the TOML texts of a fixture.
func manifests(t testing.TB, name string) starlark.Value {
	t.Helper()
	texts := map[string]string{}
	if err := json.Unmarshal(fixture(t, name), &texts); err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	for path, text := range texts {
		doc := map[string]any{}
		if err := toml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out[path] = doc
	}
	return toStarlark(t, out)
}

// field returns a struct's field.
func field(t testing.TB, v starlark.Value, name string) starlark.Value {
	t.Helper()
	f, err := v.(starlark.HasAttrs).Attr(name)
	if err != nil || f == nil {
		t.Fatalf("%s has no field %s: %v", v.Type(), name, err)
	}
	return f
}

func text(v starlark.Value) string {
	s, _ := starlark.AsString(v)
	return s
}

// words converts a sequence of strings.
func words(v starlark.Value) []string {
	var out []string
	for e := range starlark.Elements(v.(starlark.Iterable)) {
		out = append(out, text(e))
	}
	return out
}

// vars converts a dict of strings.
func vars(v starlark.Value) map[string]string {
	out := map[string]string{}
	for _, item := range v.(*starlark.Dict).Items() {
		out[text(item[0])] = text(item[1])
	}
	return out
}

// entry returns a dict's value, or nil.
func entry(v starlark.Value, key starlark.Value) starlark.Value {
	e, ok, _ := v.(*starlark.Dict).Get(key)
	if !ok {
		return nil
	}
	return e
}
