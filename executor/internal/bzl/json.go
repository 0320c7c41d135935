package bzl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// jsonModule is Bazel's json: what encode writes is fixed to the byte, so
// goldens made with Bazel hold.
func jsonModule() starlark.Value {
	return module("json", starlark.StringDict{
		"decode": starlark.NewBuiltin("json.decode", decodeJSON),
		"encode": starlark.NewBuiltin("json.encode", func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			var x starlark.Value
			if err := starlark.UnpackArgs(b.Name(), args, kwargs, "x", &x); err != nil {
				return nil, err
			}
			text, err := EncodeJSON(x)
			return starlark.String(text), err
		}),
		"encode_indent": starlark.NewBuiltin("json.encode_indent", func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			var x starlark.Value
			prefix, indent := "", "\t"
			if err := starlark.UnpackArgs(b.Name(), args, kwargs, "x", &x, "prefix?", &prefix, "indent?", &indent); err != nil {
				return nil, err
			}
			text, err := EncodeJSON(x)
			if err != nil {
				return nil, err
			}
			return indentJSON(text, prefix, indent)
		}),
		"indent": starlark.NewBuiltin("json.indent", func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			var text string
			prefix, indent := "", "\t"
			if err := starlark.UnpackArgs(b.Name(), args, kwargs, "s", &text, "prefix?", &prefix, "indent?", &indent); err != nil {
				return nil, err
			}
			return indentJSON(text, prefix, indent)
		}),
	})
}

func indentJSON(text, prefix, indent string) (starlark.Value, error) {
	var buf bytes.Buffer
	if err := json.Indent(&buf, []byte(text), prefix, indent); err != nil {
		return nil, fmt.Errorf("json.indent: %w", err)
	}
	return starlark.String(buf.String()), nil
}

// EncodeJSON returns v as json.encode() prints it.
func EncodeJSON(v starlark.Value) (string, error) {
	if err := printable(v); err != nil {
		return "", fmt.Errorf("json.encode: %w", err)
	}
	var b strings.Builder
	if err := writeJSON(&b, v, 0); err != nil {
		return "", fmt.Errorf("json.encode: %w", err)
	}
	return b.String(), nil
}

// maxDepth bounds nesting, so that a list that contains itself is an error.
const maxDepth = 1000

func writeJSON(b *strings.Builder, v starlark.Value, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("nested more than %d deep", maxDepth)
	}
	switch v := v.(type) {
	case starlark.NoneType:
		b.WriteString("null")
	case starlark.Bool:
		fmt.Fprintf(b, "%t", bool(v))
	case starlark.Int:
		b.WriteString(v.String())
	case starlark.Float:
		if math.IsInf(float64(v), 0) || math.IsNaN(float64(v)) {
			return fmt.Errorf("cannot encode non-finite float %s", v)
		}
		b.WriteString(v.String())
	case starlark.String:
		quoteJSON(b, string(v))
	case *starlark.Dict:
		items := v.Items()
		for _, item := range items {
			if _, ok := item[0].(starlark.String); !ok {
				return fmt.Errorf("dict has %s key, want string", item[0].Type())
			}
		}
		sort.Slice(items, func(i, j int) bool { return items[i][0].(starlark.String) < items[j][0].(starlark.String) })
		b.WriteByte('{')
		for i, item := range items {
			if i > 0 {
				b.WriteByte(',')
			}
			quoteJSON(b, string(item[0].(starlark.String)))
			b.WriteByte(':')
			if err := writeJSON(b, item[1], depth+1); err != nil {
				return fmt.Errorf("in dict key %s: %w", item[0], err)
			}
		}
		b.WriteByte('}')
	case starlark.Iterable:
		b.WriteByte('[')
		i := 0
		for e := range starlark.Elements(v) {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeJSON(b, e, depth+1); err != nil {
				return fmt.Errorf("at %s index %d: %w", v.Type(), i, err)
			}
			i++
		}
		b.WriteByte(']')
	case *starlarkstruct.Struct:
		b.WriteByte('{')
		for i := range v.Len() {
			name, field := v.AttrAt(i)
			if i > 0 {
				b.WriteByte(',')
			}
			quoteJSON(b, name)
			b.WriteByte(':')
			if err := writeJSON(b, field, depth+1); err != nil {
				return fmt.Errorf("in struct field .%s: %w", name, err)
			}
		}
		b.WriteByte('}')
	default:
		return fmt.Errorf("cannot encode %s as JSON", v.Type())
	}
	return nil
}

// quoteJSON escapes only what JSON requires.
func quoteJSON(b *strings.Builder, s string) {
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ':
			fmt.Fprintf(b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
}
