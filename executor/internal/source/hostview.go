package source

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/tree"
)

// A hostView is the action.View of folders of this machine. Nothing of it is read
// before somebody asks.
type hostView struct {
	s       *Snapshot // quiet
	folders []string  // as the action has them
	real    string    // what stands at the only one of them; "" where each is at its own path
}

var _ action.View = (*hostView)(nil)

// Folders implements action.View.
func (v *hostView) Folders() []string { return v.folders }

// Real implements action.View.
func (v *hostView) Real(p string) string {
	if v.real == "" {
		return p
	}
	return v.real + strings.TrimPrefix(p, v.folders[0])
}

// Entry implements action.View. A file that this user may not read is known by its
// size: actions may not read it either.
func (v *hostView) Entry(p string, content bool) (e tree.Entry, ok bool, err error) {
	p = v.Real(p)
	k, err := v.s.lstat(p)
	switch {
	case notExist(err), os.IsPermission(err):
		return e, false, nil
	case err != nil:
		return e, false, err
	case k.isDir():
		return tree.Entry{Kind: tree.Dir}, true, nil
	case k.isLink():
		if _, err := v.s.digest(p); err != nil {
			return e, false, err
		}
		text, err := os.Readlink(p)
		return tree.Entry{Kind: tree.Link, Target: text}, err == nil, err
	case !k.isRegular():
		return tree.Entry{Kind: tree.File}, true, nil
	}
	e = tree.Entry{Kind: tree.File, File: digest.Digest{Size: k.Size}, Executable: k.executable()}
	if !content {
		return e, true, nil
	}
	d, err := v.s.digest(p)
	if errors.Is(err, fs.ErrPermission) {
		return e, true, nil
	}
	e.File = d
	return e, true, err
}

// Names implements action.View.
func (v *hostView) Names(p string) ([]tree.Entry, error) {
	es, err := v.s.ReadDir(v.Real(p))
	if err != nil {
		return nil, err
	}
	var out []tree.Entry
	for _, e := range es {
		te := tree.Entry{Name: e.Name, Kind: tree.File}
		switch {
		case !validName(e.Name):
			continue // no key can hold it
		case e.Type.IsDir():
			te.Kind = tree.Dir
		case e.Type&fs.ModeSymlink != 0:
			te.Kind = tree.Link
		}
		out = append(out, te)
	}
	return out, nil
}
