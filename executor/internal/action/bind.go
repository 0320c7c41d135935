package action

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	remote "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"google.golang.org/protobuf/types/known/durationpb"

	"gorules/executor/internal/digest"
	"gorules/executor/internal/tree"
)

// world names what every action sees without asking: the fixed /etc files, the
// user and host name, /proc and /dev, and how outputs are normalised. Changing
// any of it means changing this text, which is part of every key.
const world = "gorules world 4"

// DefaultTimeout bounds an action that names no timeout of its own.
const DefaultTimeout = 3600e9

// A Resolver knows what artifacts turned out to be.
type Resolver interface {
	Expander
	Content(a *Artifact) (Content, error)
}

// Bind makes the bytes to run of a process Spec whose inputs all exist. The
// error is a user error: a rule gave two inputs at one path, say.
func Bind(s *Spec, r Resolver) (*Bound, error) {
	b := &Bound{
		Env:       s.Env,
		Workdir:   Abs(s.Workdir),
		Timeout:   s.Timeout,
		Writable:  s.Writable,
		Loopback:  s.Loopback,
		Terminals: s.Terminals,
		NoSandbox: s.NoSandbox,
		AnyExit:   s.ExitCode != nil,
		Spec:      s,
	}
	if b.Timeout == 0 {
		b.Timeout = DefaultTimeout
	}
	for name := range s.Platform {
		if strings.HasPrefix(name, "gorules-") {
			return nil, fmt.Errorf("%s of %s: execution property %q: names that begin with \"gorules-\" are gorules' own", s.Mnemonic, s.Owner, name)
		}
	}
	var err error
	for _, a := range s.Argv {
		if b.Argv, err = a.Append(b.Argv, r); err != nil {
			return nil, fmt.Errorf("%s of %s: arguments: %w", s.Mnemonic, s.Owner, err)
		}
	}
	if b.Root, err = inputRoot(s, r); err != nil {
		return nil, err
	}
	if b.Scopes, err = scopes(s, r); err != nil {
		return nil, err
	}
	for _, o := range s.Outputs {
		out := BoundOutput{Path: Abs(o.Path), Dir: o.Dir, Link: o.Link, Optional: s.Optional[o], Changes: o == s.Changes}
		if s.Messages != nil {
			out.Early = s.Messages.Early[o]
		}
		b.Outputs = append(b.Outputs, out)
	}
	slices.SortFunc(b.Outputs, func(x, y BoundOutput) int { return strings.Compare(x.Path, y.Path) })
	if outer, inner, ok := nested(b.Outputs); ok {
		return nil, fmt.Errorf("%s of %s: output %s is below output %s: no file can be there as well", s.Mnemonic, s.Owner, inner, outer)
	}
	if err := b.encode(s); err != nil {
		return nil, fmt.Errorf("%s of %s: %w", s.Mnemonic, s.Owner, err)
	}
	return b, nil
}

// nested finds an output that would be inside another.
func nested(outputs []BoundOutput) (outer, inner string, ok bool) {
	at := map[string]bool{}
	for _, o := range outputs {
		at[o.Path] = true
	}
	for _, o := range outputs {
		for up := path.Dir(o.Path); up != "/"; up = path.Dir(up) {
			if at[up] {
				return up, o.Path, true
			}
		}
	}
	return "", "", false
}

func inputRoot(s *Spec, r Resolver) (*tree.Tree, error) {
	var root tree.Builder
	var err error
	if s.Inputs != nil {
		s.Inputs.Each(func(in Input) bool {
			var c Content
			if c, err = r.Content(in.Artifact); err != nil {
				return false
			}
			p := Abs(in.Path)
			switch {
			case c.Tree != nil:
				err = root.AddTree(p, c.Tree)
			case c.Symlink != "":
				err = root.AddLink(p, c.Symlink)
			default:
				err = root.AddFile(p, c.File, c.Executable)
			}
			return err == nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("%s of %s: inputs: %w", s.Mnemonic, s.Owner, err)
	}
	return root.Build()
}

// scopes binds what s may look into.
func scopes(s *Spec, r Resolver) ([]BoundScope, error) {
	var out []BoundScope
	for _, in := range s.Scopes {
		c, err := r.Content(in.Artifact)
		if err == nil && c.Tree == nil && c.View == nil {
			err = fmt.Errorf("%s is no directory", in.Artifact.Path)
		}
		if err != nil {
			return nil, fmt.Errorf("%s of %s: scope: %w", s.Mnemonic, s.Owner, err)
		}
		sc := BoundScope{Path: Abs(in.Path), Source: in.Artifact.Source, Tree: c.Tree, View: c.View}
		for _, o := range s.Outputs {
			p := Abs(o.Path)
			if e, ok, _ := sc.Entry(path.Dir(p), false); ok && sc.Holds(p) && e.Kind == tree.Dir {
				return nil, fmt.Errorf("%s of %s: output %s: %s is a folder of its scope, which is not written to", s.Mnemonic, s.Owner, p, path.Dir(p))
			}
		}
		out = append(out, sc)
	}
	return out, nil
}

// encode fills in the two messages and the key.
func (b *Bound) encode(s *Spec) error {
	platform := b.platform(s)
	cmd := &remote.Command{
		Arguments:        b.Argv,
		WorkingDirectory: strings.TrimPrefix(b.Workdir, "/"),
		//lint:ignore SA1019 servers of the API before 2.2 read the properties here, and later ones compare
		Platform: platform,
	}
	for _, name := range slices.Sorted(maps.Keys(b.Env)) {
		cmd.EnvironmentVariables = append(cmd.EnvironmentVariables,
			&remote.Command_EnvironmentVariable{Name: name, Value: b.Env[name]})
	}
	for _, o := range b.Outputs {
		rel, err := filepath.Rel(b.Workdir, o.Path)
		if err != nil {
			return fmt.Errorf("output %s: %w", o.Path, err)
		}
		cmd.OutputPaths = append(cmd.OutputPaths, rel)
	}
	slices.Sort(cmd.OutputPaths)
	var err error
	var cd digest.Digest
	if b.Command, cd, err = digest.OfMessage(cmd); err != nil {
		return err
	}
	b.Action, b.Digest, err = digest.OfMessage(&remote.Action{
		CommandDigest:   cd.Proto(),
		InputRootDigest: b.Root.Digest().Proto(),
		Timeout:         durationpb.New(b.Timeout),
		Platform:        platform,
		Salt:            []byte(world),
	})
	return err
}

// platform carries what of a Spec changes how a process is run beyond its
// command and inputs. Properties are sorted by name, as the API demands.
func (b *Bound) platform(s *Spec) *remote.Platform {
	props := maps.Clone(s.Platform)
	if props == nil {
		props = map[string]string{}
	}
	if b.Terminals {
		props["gorules-terminals"] = "yes"
	}
	if b.Loopback {
		props["gorules-network"] = "loopback"
	}
	if b.NoSandbox {
		props["gorules-sandbox"] = "none"
	}
	if len(b.Writable) > 0 {
		w := slices.Clone(b.Writable)
		slices.Sort(w)
		props["gorules-writable"] = fmt.Sprintf("%q", w) // quoted: no two lists have one text
	}
	if len(b.Scopes) > 0 {
		var at []string
		for i := range b.Scopes {
			at = append(at, b.Scopes[i].Folders()...)
		}
		slices.Sort(at)
		props["gorules-scope"] = fmt.Sprintf("%q", at)
	}
	for _, o := range b.Outputs {
		if o.Changes {
			props["gorules-changes"] = o.Path
		}
	}
	if b.Observed != "" {
		props["gorules-observed"] = b.Observed
	}
	var dirs []string
	for _, o := range b.Outputs {
		if o.Dir { // made before the command starts, which a command can see
			dirs = append(dirs, o.Path)
		}
	}
	if len(dirs) > 0 {
		props["gorules-directories"] = fmt.Sprintf("%q", dirs)
	}
	b.Platform = props
	p := &remote.Platform{}
	for _, name := range slices.Sorted(maps.Keys(props)) {
		p.Properties = append(p.Properties, &remote.Platform_Property{Name: name, Value: props[name]})
	}
	return p
}
