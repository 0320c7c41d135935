package executor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/internal/bzl"
	"gorules/executor/label"
)

// RuleDocs describes the rules that a .bzl file exports; "" means the native
// ones, which need no load.
func (e *Engine) RuleDocs(ctx context.Context, load string) (out []RuleDoc, err error) {
	defer e.guard(&err)
	ctx, end := e.watched(ctx)
	defer end(&err)
	s, close, err := e.ask(ctx)
	if err != nil {
		return nil, err
	}
	defer close()
	var globals starlark.StringDict
	if load == "" {
		globals, err = s.Loader.Natives(ctx)
	} else {
		var l label.Label
		if l, err = label.Parse(load, label.Package{}); err != nil {
			return nil, &Error{Kind: BadCommandLine, Err: err}
		}
		m, merr := s.Loader.Module(ctx, l)
		if err = merr; err == nil {
			globals = m.Globals
		}
	}
	if err != nil {
		return nil, s.Fail(ctx, err)
	}
	for _, name := range slices.Sorted(maps.Keys(globals)) {
		if strings.HasPrefix(name, "_") {
			continue
		}
		switch v := globals[name].(type) {
		case bzl.RuleValue:
			out = append(out, ruleDoc(name, load, v.RuleClass.Doc, "rule", v.RuleClass.Attrs))
		case bzl.RepoValue:
			out = append(out, ruleDoc(name, load, v.RepoRule.Doc, "repository rule", v.RepoRule.Attrs))
		case *starlark.Function:
			out = append(out, RuleDoc{Name: name, Load: load, Doc: v.Doc(), Kind: "macro"})
		}
	}
	return out, nil
}

func ruleDoc(name, load, doc, kind string, attrs map[string]*bzl.Attr) RuleDoc {
	d := RuleDoc{Name: name, Load: load, Doc: doc, Kind: kind}
	if before, example, ok := strings.Cut(doc, "\nExample:\n"); ok {
		d.Doc, d.Example = strings.TrimSpace(before), dedent(example)
	}
	for _, n := range slices.Sorted(maps.Keys(attrs)) {
		a := attrs[n]
		if strings.HasPrefix(n, "_") || a.Doc == "" && n != "name" {
			continue // private, or one that every rule has
		}
		ad := AttributeDoc{Name: n, Type: typeName(a.Type), Mandatory: a.Mandatory, Doc: a.Doc}
		if a.Default != nil && !a.Mandatory {
			ad.Default = a.Default.String()
		}
		d.Attributes = append(d.Attributes, ad)
	}
	slices.SortStableFunc(d.Attributes, func(a, b AttributeDoc) int { return rank(a) - rank(b) })
	return d
}

// rank puts the name first and mandatory attributes before optional ones.
func rank(a AttributeDoc) int {
	switch {
	case a.Name == "name":
		return 0
	case a.Mandatory:
		return 1
	}
	return 2
}

func typeName(t bzl.AttrType) string {
	if item, ok := strings.CutSuffix(string(t), "_list"); ok {
		return fmt.Sprintf("list of %ss", item)
	}
	return strings.ReplaceAll(string(t), "_", " ")
}

func dedent(s string) string {
	lines := strings.Split(strings.Trim(s, "\n"), "\n")
	indent := -1
	for _, l := range lines {
		if t := strings.TrimLeft(l, " "); t != "" && (indent < 0 || len(l)-len(t) < indent) {
			indent = len(l) - len(t)
		}
	}
	for i, l := range lines {
		lines[i] = l[min(max(indent, 0), len(l)):]
	}
	return strings.TrimRight(strings.Join(lines, "\n"), " \n") + "\n"
}
