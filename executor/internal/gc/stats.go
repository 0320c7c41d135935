package gc

import (
	"cmp"
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"gorules/executor/internal/run"
)

// Size is how much there is of something.
type Size struct {
	Bytes  int64
	Things int
}

// Sizes are those of several kinds.
type Sizes map[Kind]Size

func (s Sizes) add(it item) {
	n := s[it.kind]
	s[it.kind] = Size{n.Bytes + it.bytes, n.Things + 1}
}

// Total is the sum over all kinds.
func (s Sizes) Total() (bytes int64) {
	for _, n := range s {
		bytes += n.Bytes
	}
	return bytes
}

// Share is what one workspace, or one toolchain, has made of a folder. What several
// results name is counted to the one that was used last.
type Share struct {
	Name  string // "" is of nobody: what no result names
	Gone  bool   // a workspace that is not there any more
	Sizes Sizes
}

// Stats say what there is.
type Stats struct {
	Kinds      Sizes
	Workspaces []Share // largest first
	Toolchains []Share
}

// Budgeted is the sum of the kinds that count to a budget.
func (s *Stats) Budgeted() int64 { return s.Kinds.Total() - s.Kinds[Outputs].Bytes }

// Measure says what is in f, and whose it is.
func Measure(ctx context.Context, f Folder) (*Stats, error) {
	c := &collector{Folder: f, sizes: map[string]measured{}}
	readNoted(f.noted(sizesName), &c.sizes)
	all, err := c.everything(ctx)
	if err != nil {
		return nil, err
	}
	outputs, err := c.outputs(ctx)
	if err != nil {
		return nil, err
	}
	all = append(all, outputs...)
	whose, err := c.owners(ctx, all)
	if err != nil {
		return nil, err
	}
	s := &Stats{Kinds: Sizes{}}
	workspaces, toolchains := map[string]*Share{}, map[string]*Share{}
	put := func(into map[string]*Share, name string, it item) *Share {
		if into[name] == nil {
			into[name] = &Share{Name: name, Sizes: Sizes{}}
		}
		into[name].Sizes.add(it)
		return into[name]
	}
	for _, it := range all {
		s.Kinds.add(it)
		o := whose(it)
		put(workspaces, o.workspace, it).Gone = o.gone
		if it.kind == Content || it.kind == Results {
			put(toolchains, o.toolchain, it)
		}
	}
	s.Workspaces, s.Toolchains = largest(workspaces), largest(toolchains)
	return s, nil
}

func largest(m map[string]*Share) []Share {
	var out []Share
	for _, s := range m {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b Share) int {
		return cmp.Or(cmp.Compare(b.Sizes.Total(), a.Sizes.Total()), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// outputs are what the links of workspaces lead to.
func (c *collector) outputs(ctx context.Context) ([]item, error) {
	ws, err := c.workspaces()
	if err != nil {
		return nil, err
	}
	var out []item
	for _, w := range ws {
		for _, name := range []string{"bin", "testlogs"} {
			p := filepath.Join(w.dir, name)
			if _, err := os.Lstat(p); err != nil || w.gone {
				continue
			}
			n, err := measure(ctx, p, false)
			if err != nil {
				return nil, err
			}
			out = append(out, item{kind: Outputs, path: p, bytes: n, workspace: w.id})
		}
	}
	return out, nil
}

// An owner is whom something is counted to.
type owner struct {
	workspace string // a folder, or its id where that is not known
	gone      bool
	toolchain string
}

// owners finds out whose things are: results say where they come from, and
// content belongs to the result that was used last of those that name it.
func (c *collector) owners(ctx context.Context, all []item) (func(item) owner, error) {
	ws, err := c.workspaces()
	if err != nil {
		return nil, err
	}
	byID := map[string]owner{}
	for _, w := range ws {
		byID[w.id] = owner{workspace: cmp.Or(w.path, w.id), gone: w.gone}
	}
	of := func(id string) owner {
		if o, ok := byID[id]; ok || id == "" {
			return o
		}
		return owner{workspace: id, gone: true}
	}
	results := map[string]owner{}
	type claim struct {
		owner
		age int64
	}
	content := map[[32]byte]claim{}
	for _, it := range all {
		if it.kind != Results {
			continue
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		s, err := run.ReadStored(ctx, reader{folder: c.Folder}, it.path, c.FS)
		if err != nil {
			continue // nobody's; Verify tells of it
		}
		o := of(s.Workspace)
		o.toolchain = s.Toolchain
		results[it.path] = o
		for _, d := range s.Blobs {
			if had, ok := content[d.Hash]; !ok || had.age < it.age {
				content[d.Hash] = claim{o, it.age}
			}
		}
	}
	return func(it item) owner {
		switch it.kind {
		case Results:
			return results[it.path]
		case Content:
			return content[it.digest.Hash].owner
		case Trees:
			return owner{}
		}
		return of(it.workspace)
	}, nil
}

// choose returns what is selected of all. With content go trees, whosever they are:
// they would keep it, and are quickly made again.
func (c *collector) choose(ctx context.Context, all []item, only Selection) ([]item, error) {
	whose, err := c.owners(ctx, all)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(it item) bool {
		o := whose(it)
		if it.kind == Trees && (only.Kind == "" || only.Kind == Content) {
			return false
		}
		return only.Kind != "" && it.kind != only.Kind ||
			only.Workspace != "" && o.workspace != only.Workspace ||
			only.Toolchain != "" && o.toolchain != only.Toolchain
	}), nil
}

// Largest names what takes most of f's place, by what is remembered or, where
// nothing is, by measuring.
func Largest(ctx context.Context, f Folder) (Kind, int64) {
	n := &noted{}
	if !readNoted(f.noted(usageName), n) || len(n.Kinds) == 0 {
		c := &collector{Folder: f, sizes: map[string]measured{}}
		n.Kinds = map[Kind]int64{}
		all, err := c.everything(ctx)
		if err != nil {
			return "", 0
		}
		for _, it := range all {
			n.Kinds[it.kind] += it.bytes
		}
	}
	var best Kind
	for _, k := range slices.Sorted(maps.Keys(n.Kinds)) {
		if n.Kinds[k] > n.Kinds[best] {
			best = k
		}
	}
	return best, n.Kinds[best]
}
