package bzl

import (
	"hash/fnv"

	"go.starlark.net/starlark"

	"gorules/executor/label"
)

// Label is the Starlark value of type "Label".
type Label struct{ label.Label }

var (
	_ starlark.HasAttrs       = Label{}
	_ starlark.TotallyOrdered = Label{}
)

// String returns the canonical form, which str() and %s give.
func (l Label) String() string       { return l.Canonical() }
func (l Label) Type() string         { return "Label" }
func (l Label) Freeze()              {}
func (l Label) Truth() starlark.Bool { return true }

// Hash returns a hash of the canonical form.
func (l Label) Hash() (uint32, error) {
	h := fnv.New32a()
	h.Write([]byte(l.Canonical()))
	return h.Sum32(), nil
}

// Cmp orders labels as label.Label does.
func (l Label) Cmp(y starlark.Value, _ int) (int, error) { return l.Compare(y.(Label).Label), nil }

// WorkspaceRoot is the folder of the label's repository as actions see it,
// relative to the workspace: "" or external/<repo>.
func WorkspaceRoot(repo string) string {
	if repo == "" {
		return ""
	}
	return "external/" + repo
}

// Attr returns a field or method.
func (l Label) Attr(name string) (starlark.Value, error) {
	switch name {
	case "name":
		return starlark.String(l.Name), nil
	case "package":
		return starlark.String(l.Package), nil
	case "repo_name", "workspace_name":
		return starlark.String(l.Repo), nil
	case "workspace_root":
		return starlark.String(WorkspaceRoot(l.Repo)), nil
	case "relative":
		return method(name, l, func(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			var text string
			if err := starlark.UnpackArgs(name, args, kwargs, "relName", &text); err != nil {
				return nil, err
			}
			m, err := Scope{Package: l.Pkg()}.Label(text)
			return Label{m}, err
		}), nil
	case "same_package_label":
		return method(name, l, func(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			var target string
			if err := starlark.UnpackArgs(name, args, kwargs, "target_name", &target); err != nil {
				return nil, err
			}
			m, err := l.Pkg().Label(target)
			return Label{m}, err
		}), nil
	}
	return nil, nil
}

// AttrNames lists the fields and methods.
func (l Label) AttrNames() []string {
	return []string{"name", "package", "relative", "repo_name", "same_package_label", "workspace_name", "workspace_root"}
}

// method returns a built-in bound to recv.
func method(name string, recv starlark.Value, f func(*starlark.Thread, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)) *starlark.Builtin {
	b := starlark.NewBuiltin(name, func(t *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		return f(t, args, kwargs)
	})
	return b.BindReceiver(recv)
}
