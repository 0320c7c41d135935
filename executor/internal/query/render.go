package query

import (
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/internal/bzl"
	"gorules/executor/internal/loading"
)

// attrTexts are the texts that attr() matches: one for each possible value.
// Booleans are 1 and 0, labels //pkg:name, lists "[a, b]".
func attrTexts(v starlark.Value) []string {
	if s, ok := v.(*bzl.Select); ok {
		var out []string
		for _, p := range s.Parts {
			if p.Value != nil {
				out = append(out, attrTexts(p.Value)...)
			}
			for _, b := range p.Branches {
				out = append(out, attrTexts(b.Value)...)
			}
		}
		return out
	}
	return []string{attrText(v)}
}

func attrText(v starlark.Value) string {
	switch v := v.(type) {
	case starlark.String:
		return string(v)
	case starlark.Bool:
		if v {
			return "1"
		}
		return "0"
	case starlark.NoneType:
		return ""
	case bzl.Label:
		return v.Label.String()
	case *starlark.List:
		var parts []string
		for e := range v.Elements() {
			parts = append(parts, attrText(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case *starlark.Dict:
		var parts []string
		for _, item := range v.Items() {
			parts = append(parts, attrText(item[0])+"="+attrText(item[1]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return v.String()
}

// Attributes returns what the BUILD file or a macro set, as values for JSON:
// string, bool, int64, []any and map[string]any; labels are text, a select() is
// {"select": [...]} with a map of conditions, or a plain value, for each part.
func Attributes(t *loading.Target) map[string]any {
	out := map[string]any{}
	for name := range t.Explicit {
		if v := t.Attrs[name]; v != nil && v != starlark.None {
			out[name] = plain(v)
		}
	}
	return out
}

func plain(v starlark.Value) any {
	switch v := v.(type) {
	case starlark.String:
		return string(v)
	case starlark.Bool:
		return bool(v)
	case starlark.Int:
		if n, ok := v.Int64(); ok {
			return n
		}
	case starlark.NoneType:
		return nil
	case bzl.Label:
		return v.Label.String()
	case *starlark.List:
		out := []any{}
		for e := range v.Elements() {
			out = append(out, plain(e))
		}
		return out
	case *starlark.Dict:
		out := map[string]any{}
		for _, item := range v.Items() {
			out[attrText(item[0])] = plain(item[1])
		}
		return out
	case *bzl.Select:
		parts := []any{}
		for _, p := range v.Parts {
			if p.Value != nil {
				parts = append(parts, plain(p.Value))
				continue
			}
			branches := map[string]any{}
			for _, b := range p.Branches {
				branches[conditionText(b)] = plain(b.Value)
			}
			parts = append(parts, branches)
		}
		return map[string]any{"select": parts}
	}
	return v.String()
}

func conditionText(b bzl.Branch) string {
	if b.Default {
		return "//conditions:default"
	}
	return b.Key.String()
}
