package repo

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
	"go.starlark.net/starlark"

	"gorules/executor/regular"
)

func (c *repoContext) patch(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	strip, watch := 0, "auto"
	if err := starlark.UnpackArgs(name, args, kwargs, "patch_file", &v, "strip?", &strip, "watch_patch?", &watch); err != nil {
		return nil, err
	}
	p, err := c.existing(v)
	if err != nil {
		return nil, err
	}
	if err := c.watch(p, watch); err != nil {
		return nil, err
	}
	src, err := regular.Read(p)
	if err != nil {
		return nil, err
	}
	// The parser reads git's "a/" and "b/" prefixes where it sees a git header
	// and takes them off; the others are taken off here.
	files, _, err := gitdiff.Parse(bytes.NewReader(src))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no patch", p)
	}
	git := bytes.HasPrefix(src, []byte("diff --git ")) || bytes.Contains(src, []byte("\ndiff --git "))
	for _, f := range files {
		n := strip
		if git && n > 0 {
			n--
		}
		if err := c.patchFile(f, n); err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
	}
	return starlark.None, nil
}

// patchFile applies the part of a patch that is about one file.
func (c *repoContext) patchFile(f *gitdiff.File, strip int) error {
	oldName, err := stripName(f.OldName, strip)
	if err != nil {
		return err
	}
	newName, err := stripName(f.NewName, strip)
	if err != nil {
		return err
	}
	var old []byte
	var executable bool
	if !f.IsNew {
		from, err := c.output(starlark.String(oldName))
		if err != nil {
			return err
		}
		info, err := os.Stat(from)
		if err != nil {
			return fmt.Errorf("cannot find file to patch (near %s): check strip", oldName)
		}
		executable = info.Mode()&0o111 != 0
		if old, err = regular.Read(from); err != nil {
			return err
		}
		if f.IsDelete || f.IsRename {
			defer os.Remove(from)
		}
	}
	if f.IsDelete {
		return nil
	}
	var out bytes.Buffer
	if err := gitdiff.Apply(&out, bytes.NewReader(old), f); err != nil {
		return fmt.Errorf("the patch of %s does not apply: %w", newName, err)
	}
	if f.NewMode != 0 {
		executable = f.NewMode&0o111 != 0
	}
	return c.put(starlark.String(newName), out.Bytes(), executable)
}

// stripName takes the first n folders off a name.
func stripName(name string, n int) (string, error) {
	if name == "" {
		return "", nil
	}
	rest := name
	for range n {
		_, tail, ok := strings.Cut(rest, "/")
		if !ok {
			return "", fmt.Errorf("the name %s has fewer than %d folders: check strip", name, n)
		}
		rest = tail
	}
	return rest, nil
}
