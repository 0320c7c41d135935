package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"gorules/cmd/gorules/internal/ui"
	"gorules/executor"
)

const cacheText = `Shows, trims or checks what is stored below --output_user_root, and in the
folder of --disk_cache:

    gorules cache stats                 by kind, workspace and toolchain
    gorules cache gc                    trim to --cache_budget now
    gorules cache gc --budget=1G        trim to 1 GB now
    gorules cache gc --kind=trees       remove all trees
    gorules cache verify                read everything, remove what is wrong

Nobody needs to call gc: at its end, each command that ran something does a part
of the same. What was not used for longest goes; what workspaces left that are
gone, goes first; what a running command uses stays. A folder named by
--disk_cache is trimmed only where --disk_cache_gc_max_size says so. verify ends
with exit code 1 if something was wrong; it is removed, and made again when it is
wanted.`

func runCache(ctx context.Context, c *command) error {
	what := strings.Join(c.operands, " ")
	o := c.opts
	if what != "gc" && (o.gcBudget != 0 || o.gcKind != "" || o.gcOwner != "" || o.gcToolchain != "") {
		return badLine("--budget, --kind, --workspace and --toolchain are for `gorules cache gc`")
	}
	var run func(context.Context, *command, Engine) error
	switch what {
	case "stats":
		run = cacheStats
	case "gc":
		run = cacheGC
	case "verify":
		run = cacheVerify
	case "":
		return withHint(badLine("what to do is missing"), "one of: gorules cache stats, gorules cache gc, gorules cache verify")
	default:
		return withHint(badLine("`gorules cache` cannot %q", what), "one of: gorules cache stats, gorules cache gc, gorules cache verify")
	}
	e, err := c.open(ctx)
	if err != nil {
		return err
	}
	return run(ctx, c, e)
}

func cacheStats(ctx context.Context, c *command, e Engine) error {
	folders, err := e.CacheStats(ctx)
	if err != nil {
		return err
	}
	for i, f := range folders {
		if i > 0 {
			c.say("\n")
		}
		c.say("%s: %s%s\n", f.Dir, executor.Bytes(f.Used), ofBudget(f))
		c.table("kind", nil, f.Kinds)
		c.table("workspace", f.Kinds, f.Workspaces)
		c.table("toolchain", f.Kinds, f.Toolchains)
	}
	return nil
}

// ofBudget says what a folder is kept to.
func ofBudget(f executor.CacheFolder) string {
	switch {
	case f.Budget == executor.NoBudget && f.Named:
		return ", never trimmed (no --disk_cache_gc_max_size)"
	case f.Budget == executor.NoBudget:
		return ", never trimmed (--cache_budget=none)"
	}
	return " of " + executor.Bytes(f.Budget)
}

// table shows sizes, also by those of kinds that some have.
func (c *command) table(title string, kinds, rows []executor.CacheSize) {
	if len(rows) == 0 {
		return
	}
	var columns []string
	for _, k := range kinds {
		if slices.ContainsFunc(rows, func(r executor.CacheSize) bool { return r.Kinds[k.Name] > 0 }) {
			columns = append(columns, k.Name)
		}
	}
	c.say("\n")
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintf(w, "%s\tsize\tthings", title)
	for _, k := range columns {
		fmt.Fprintf(w, "\t%s", k)
	}
	fmt.Fprintln(w)
	for _, r := range rows {
		name := r.Name
		switch {
		case name == "" && title == "toolchain":
			name = "(other)"
		case name == "":
			name = "(inputs)" // what no result names
		}
		if r.Gone {
			name += " (gone)"
		}
		fmt.Fprintf(w, "%s\t%s\t%d", name, executor.Bytes(r.Bytes), r.Things)
		for _, k := range columns {
			fmt.Fprintf(w, "\t%s", executor.Bytes(r.Kinds[k]))
		}
		fmt.Fprintln(w)
	}
}

func cacheGC(ctx context.Context, c *command, e Engine) error {
	o := c.opts
	r := executor.CacheGCRequest{Kind: o.gcKind, Workspace: c.path(o.gcOwner), Toolchain: o.gcToolchain}
	if o.gcBudget != 0 {
		r.Budget = &o.gcBudget
	}
	folders, err := e.CacheGC(ctx, r)
	if err != nil {
		return err
	}
	for _, f := range folders {
		if f.Skipped {
			c.say("%s: not trimmed, since --disk_cache_gc_max_size is not given\n", f.Dir)
			continue
		}
		var total int64
		var parts []string
		for _, k := range f.Kinds {
			total += k.Bytes
			parts = append(parts, fmt.Sprintf("%s %s", k.Name, executor.Bytes(k.Bytes)))
		}
		text := "nothing to free"
		if len(parts) > 0 {
			text = fmt.Sprintf("freed %s (%s)", executor.Bytes(total), strings.Join(parts, ", "))
		}
		of := ""
		if r.Kind+r.Workspace+r.Toolchain != "" {
			of = " of it"
		}
		c.say("%s: %s; %s%s left\n", f.Dir, text, executor.Bytes(f.Used), of)
	}
	return nil
}

func cacheVerify(ctx context.Context, c *command, e Engine) error {
	folders, err := e.CacheVerify(ctx)
	if err != nil {
		return err
	}
	wrong := 0
	for _, f := range folders {
		var parts []string
		for _, k := range f.Kinds {
			parts = append(parts, fmt.Sprintf("%s %d", k.Name, k.Things))
		}
		for _, w := range f.Wrong {
			c.say("removed %s %s: %s\n", w.Kind, w.Path, w.Reason)
		}
		wrong += len(f.Wrong)
		if parts == nil {
			parts = []string{"nothing"}
		}
		useless := ""
		if f.Useless > 0 {
			useless = fmt.Sprintf("; removed %s whose content is gone", ui.Plural(f.Useless, "result"))
		}
		c.say("%s: checked %s; %d wrong%s\n", f.Dir, strings.Join(parts, ", "), len(f.Wrong), useless)
	}
	if wrong == 0 {
		return nil
	}
	return &executor.Error{Kind: executor.BuildFailed, Err: errors.New(ui.Plural(wrong, "thing") + " stored wrongly: removed, and made again when wanted")}
}
