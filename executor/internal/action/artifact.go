// Package action holds what a rule asked for (Spec) and the bytes that will run
// (Bound), which are the Remote Execution API's Action message and its input
// root. The digest of that message is the only key there is: nothing reaches a
// runner that is not in it.
//
// The input root is the action's "/". Workspace sources and ordinary outputs
// stand under /w, which is also the default working directory; everything else
// (/rust, /vendor/..., /unit/..., declared host files) stands at its own
// absolute path. The package runs nothing and reads no file.
package action

import (
	"fmt"
	"path"
	"strings"

	"gorules/executor/internal/glob"
)

// Workspace is where the workspace stands in every action's input root.
const Workspace = "/w"

// An Artifact is one file or one directory tree that actions read or write. Its
// identity is its address; two artifacts may have equal paths when no action
// sees both.
type Artifact struct {
	// Path is where the producing action writes it, or where a source stands:
	// relative to Workspace, or absolute in the input root.
	Path string

	// Dir marks a directory tree ("tree artifact").
	Dir bool

	// Link marks a symbolic link made by declare_symlink, which is never followed.
	Link bool

	// Producer makes the artifact; nil for a source.
	Producer *Spec

	// Source says where a source comes from; nil for an output.
	Source *Source
}

// An Input is an artifact as one action sees it: content at an absolute path.
type Input struct {
	Path     string // absolute in the input root
	Artifact *Artifact
}

// Inputs is a set of inputs that can be walked any number of times. A depset
// satisfies it without being flattened.
type Inputs interface {
	Each(yield func(Input) bool) bool
}

// InputList is the plain form of Inputs.
type InputList []Input

// Each calls yield for each input until it returns false.
func (l InputList) Each(yield func(Input) bool) bool {
	for _, in := range l {
		if !yield(in) {
			return false
		}
	}
	return true
}

// Abs returns p as an absolute path of the input root: absolute paths as they
// are, others below Workspace.
func Abs(p string) string {
	if strings.HasPrefix(p, "/") {
		return path.Clean(p)
	}
	return path.Join(Workspace, p)
}

// A Source is content that no action makes. Exactly one of Tree, Host and
// neither describes it: neither means the one file or whole directory at
// Root/Path.
type Source struct {
	// Root is the folder of the workspace or of an external repository on this machine.
	Root string

	// Path is slash-separated and relative to Root.
	Path string

	// Immutable says that gorules wrote Root and knows its content, so that no
	// file of it is a fact: see source.Fixed.
	Immutable bool

	// At, where not "", is where in the input root the folder Root is shown as it stands
	// on this machine, not from a mirror: a history of versions, say. Only as a scope.
	At string

	// Quiet says that the source is a scope, of which nothing counts until
	// somebody looked at it.
	Quiet bool

	Tree *TreeQuery
	Host *HostTree
}

// Key is equal for sources that are the same content: rules declare a source
// again for every action that reads it.
func (s *Source) Key() string {
	key := fmt.Sprintf("%q %q %t %t %q", s.Root, s.Path, s.Immutable, s.Quiet, s.At)
	if s.Host != nil {
		key += fmt.Sprintf(" host %q", s.Host.Paths)
	}
	if q := s.Tree; q != nil {
		key += fmt.Sprintf(" tree %q %q %t %t %q", q.Include, q.Exclude, q.Gitignore, q.Tracked, q.Blank)
	}
	return key
}

// A TreeQuery selects files below Root/Path; the artifact's tree is rooted at
// Root (it contains Path). All patterns are those of package glob, relative to
// Root/Path; a folder that Exclude matches is left out with all that is below it.
type TreeQuery struct {
	Include glob.Set // empty means everything
	Exclude glob.Set

	// Gitignore leaves out what .gitignore files say, from Root down, whether
	// or not there is a .git folder. VCS folders are always left out.
	Gitignore bool

	// Blank names files that appear empty: their names matter, not their content.
	Blank glob.Set
	// Tracked adds what git tracks although .gitignore says otherwise.
	Tracked bool
}

// A HostTree is a set of files of this machine at their own absolute paths. A
// symbolic link is kept as a link, and what it leads to is added.
type HostTree struct {
	// Paths are files, or folders that stand for everything below them.
	Paths []string
}
