package analysis

import (
	"fmt"
	"path"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/internal/action"
	"gorules/executor/internal/bzl"
)

// write is ctx.actions.write.
func (x *actions) write(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var output *bzl.File
	var content, mnemonic, requirements, toolchain starlark.Value
	var executable bool
	err := starlark.UnpackArgs("write", args, kwargs, "output", &output, "content", &content, "is_executable?", &executable,
		"mnemonic?", &mnemonic, "execution_requirements?", &requirements, "toolchain?", &toolchain)
	if err != nil {
		return nil, err
	}
	name, err := mnemonicOf(mnemonic, "FileWrite")
	if err != nil {
		return nil, fmt.Errorf("write: %w", err)
	}
	spec := x.newSpec(thread, name)
	spec.Progress = "Writing " + output.ShortPath()
	spec.Write = &action.Write{}
	switch c := content.(type) {
	case starlark.String:
		spec.Write.Content = func(action.Expander) ([]byte, error) { return []byte(c), nil }
	case *argsValue:
		if dirs := c.dirsOf(); dirs != nil {
			spec.Inputs = &inputSet{files: dirs}
		}
		words, format := c.words(), c.format
		spec.Write.Content = func(ex action.Expander) ([]byte, error) { return paramFile(words, format, ex) }
	default:
		return nil, fmt.Errorf("write: content: expected a string or Args, got %s", content.Type())
	}
	if err := x.register(spec, output); err != nil {
		return nil, fmt.Errorf("write: %w", err)
	}
	return starlark.None, nil
}

// paramFile is the text of Args in a file.
func paramFile(words []action.Arg, format string, ex action.Expander) ([]byte, error) {
	var argv []string
	var err error
	for _, w := range words {
		if argv, err = w.Append(argv, ex); err != nil {
			return nil, err
		}
	}
	var b strings.Builder
	for i, s := range argv {
		switch {
		case format == "flag_per_line" && i > 0 && !strings.HasPrefix(s, "--"):
			b.WriteByte(' ')
		case i > 0:
			b.WriteByte('\n')
		}
		if format == "shell" {
			s = shellQuote(s)
		}
		b.WriteString(s)
	}
	if len(argv) > 0 {
		b.WriteByte('\n')
	}
	return []byte(b.String()), nil
}

// expandTemplate is ctx.actions.expand_template. Substitutions are applied one
// after the other, in the order given.
func (x *actions) expandTemplate(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var template, output *bzl.File
	substitutions := new(starlark.Dict)
	var executable bool
	var computed starlark.Value
	err := starlark.UnpackArgs("expand_template", args, kwargs, "template", &template, "output", &output, "substitutions?", &substitutions,
		"is_executable?", &executable, "computed_substitutions?", &computed)
	if err != nil {
		return nil, err
	}
	if isSet(computed) {
		return nil, fmt.Errorf("expand_template: computed_substitutions is not supported: use substitutions")
	}
	var pairs [][2]string
	for _, item := range substitutions.Items() {
		k, ok1 := starlark.AsString(item[0])
		v, ok2 := starlark.AsString(item[1])
		if !ok1 || !ok2 || k == "" {
			return nil, fmt.Errorf("expand_template: substitutions: expected a dict of strings by string, got the entry %s: %s", item[0], item[1])
		}
		pairs = append(pairs, [2]string{k, v})
	}
	spec := x.newSpec(thread, "TemplateExpand")
	spec.Progress = "Expanding template " + output.ShortPath()
	spec.Inputs = &inputSet{files: []*bzl.File{template}}
	spec.Write = &action.Write{
		Template: template.Artifact,
		Replace: func(text string) (string, error) {
			for _, p := range pairs {
				text = strings.ReplaceAll(text, p[0], p[1])
			}
			return text, nil
		},
	}
	if err := x.register(spec, output); err != nil {
		return nil, fmt.Errorf("expand_template: %w", err)
	}
	return starlark.None, nil
}

// symlink is ctx.actions.symlink.
func (x *actions) symlink(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var output *bzl.File
	var targetFile, targetPath, message, targetType starlark.Value
	var executable, execRoot bool
	err := starlark.UnpackArgs("symlink", args, kwargs, "output", &output, "target_file?", &targetFile, "target_path?", &targetPath,
		"is_executable?", &executable, "progress_message?", &message, "use_exec_root_for_source?", &execRoot, "target_type?", &targetType)
	if err != nil {
		return nil, err
	}
	if isSet(targetFile) == isSet(targetPath) {
		return nil, fmt.Errorf("symlink: give exactly one of target_file and target_path")
	}
	spec := x.newSpec(thread, "Symlink")
	spec.Progress = progress(message, x.owner, "", output.Path)
	if spec.Progress == "" {
		spec.Progress = "Creating symlink " + output.ShortPath()
	}
	if isSet(targetPath) {
		text, ok := starlark.AsString(targetPath)
		if !ok {
			return nil, fmt.Errorf("symlink: target_path: expected a string, got %s", targetPath.Type())
		}
		if !output.Artifact.Link {
			return nil, fmt.Errorf("symlink: target_path needs an output of declare_symlink(), got %s", output)
		}
		spec.Link = &action.Link{Path: text}
	} else {
		f, ok := targetFile.(*bzl.File)
		if !ok {
			return nil, fmt.Errorf("symlink: target_file: expected a File, got %s", targetFile.Type())
		}
		if output.Artifact.Link {
			return nil, fmt.Errorf("symlink: target_file needs an output of declare_file() or declare_directory(), got one of declare_symlink()")
		}
		if output.Artifact.Dir != f.Artifact.Dir {
			return nil, fmt.Errorf("symlink: %s and %s must both be files or both directories", output, f)
		}
		spec.Link = &action.Link{Target: f.Artifact, Executable: executable}
		spec.Inputs = &inputSet{files: []*bzl.File{f}}
	}
	if err := x.register(spec, output); err != nil {
		return nil, fmt.Errorf("symlink: %w", err)
	}
	return starlark.None, nil
}

// tree is ctx.actions.tree: it makes a directory of other artifacts: entries maps paths in it to files.
func (x *actions) tree(thread *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var output *bzl.File
	var entries *starlark.Dict
	if err := starlark.UnpackArgs("tree", args, kwargs, "output", &output, "entries", &entries); err != nil {
		return nil, err
	}
	if !output.Artifact.Dir {
		return nil, fmt.Errorf("tree: output: expected what declare_directory() returned, got %s", output)
	}
	spec := x.newSpec(thread, "Assemble")
	spec.Progress = "Assembling " + output.ShortPath()
	spec.Assemble = &action.Assemble{Entries: map[string]*action.Artifact{}}
	in := &inputSet{}
	for _, item := range entries.Items() {
		p, ok1 := starlark.AsString(item[0])
		f, ok2 := item[1].(*bzl.File)
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("tree: entries: expected a dict of files by path, got the entry %s: %s", item[0], item[1])
		}
		if p == "" || path.IsAbs(p) || path.Clean(p) != p || p == ".." || strings.HasPrefix(p, "../") {
			return nil, fmt.Errorf("tree: entries: %q: expected a relative path without the parts . and .. in it", p)
		}
		spec.Assemble.Entries[p] = f.Artifact
		in.files = append(in.files, f)
	}
	spec.Inputs = in
	if err := x.register(spec, output); err != nil {
		return nil, fmt.Errorf("tree: %w", err)
	}
	return starlark.None, nil
}
