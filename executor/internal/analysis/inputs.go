package analysis

import (
	"fmt"

	"go.starlark.net/starlark"

	"gorules/executor/internal/action"
	"gorules/executor/internal/bzl"
)

// inputSet collects the inputs of one action. Depsets in it are not flattened.
type inputSet struct {
	files []*bzl.File
	sets  []*bzl.Depset
	more  []action.Inputs
}

// Each calls yield for each input; a depset shared by several is walked once.
func (s *inputSet) Each(yield func(action.Input) bool) bool {
	for _, f := range s.files {
		if !yield(f.Input()) {
			return false
		}
	}
	if !bzl.WalkFiles(s.sets, yield) {
		return false
	}
	for _, m := range s.more {
		if !m.Each(yield) {
			return false
		}
	}
	return true
}

// add takes a list of files, or a depset.
func (s *inputSet) add(what string, v starlark.Value) error {
	if d, ok := v.(*bzl.Depset); ok {
		if d.Kind() != "" && d.Kind() != "File" {
			return fmt.Errorf("%s: expected a depset of files, got a depset of %s", what, d.Kind())
		}
		s.sets = append(s.sets, d)
		return nil
	}
	files, err := fileList(what, v)
	s.files = append(s.files, files...)
	return err
}

// addTool takes an executable: its file, its default outputs and its runfiles,
// which stand beside it.
func (s *inputSet) addTool(x *actions, f *bzl.File, c *Configured) {
	if c == nil && x.tools != nil {
		c = x.tools[f.Artifact]
	}
	s.files = append(s.files, f)
	if c == nil {
		return
	}
	if !c.Runfiles.Empty() {
		s.sets = append(s.sets, c.Runfiles.files)
		s.more = append(s.more, x.a.RunfilesAt(f.Path+".runfiles", c.Runfiles))
	}
}

// addTools takes tools = [File, FilesToRunProvider, depset...].
func (s *inputSet) addTools(x *actions, v starlark.Value) error {
	if d, ok := v.(*bzl.Depset); ok {
		return s.add("tools", d)
	}
	elems, err := elements("tools", v)
	if err != nil {
		return err
	}
	for _, e := range elems {
		switch e := e.(type) {
		case *bzl.File:
			s.addTool(x, e, nil)
		case *filesToRun:
			if e.c.Executable != nil {
				s.addTool(x, e.c.Executable, e.c)
			}
		case *bzl.Depset:
			if err := s.add("tools", e); err != nil {
				return err
			}
		default:
			return fmt.Errorf("tools: expected files, FilesToRunProviders or depsets, got %s", e.Type())
		}
	}
	return nil
}

// first returns the path of one input, for a progress message.
func (s *inputSet) first() string {
	name := ""
	s.Each(func(in action.Input) bool {
		name = in.Artifact.Path
		return false
	})
	return name
}
