package run

import (
	"context"
	"errors"
	"fmt"

	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/tree"
	"gorules/executor/regular"
)

// Sources finds content that was hashed where it stands and is not in the
// store yet; source.Snapshot is one.
type Sources interface {
	// Blob returns a file that held d's content when it was hashed.
	Blob(d digest.Digest) (file string, ok bool)
}

// blobs puts content at paths of this machine: from the store, and what is
// missing there is first copied in from where it came. The copy is checked, so
// an edit during the build is an error and never an input.
type blobs struct {
	store   *cas.Disk
	sources Sources
	fs      *fsx.FS
}

// fetch makes sure that e's content is in the store and returns its file there.
func (b *blobs) fetch(ctx context.Context, e tree.Entry) (string, error) {
	p, err := b.store.Path(ctx, e.File, e.Executable)
	if !errors.Is(err, cas.ErrNotFound) {
		return p, err
	}
	file, ok := "", false
	if b.sources != nil {
		file, ok = b.sources.Blob(e.File)
	}
	if !ok {
		return "", err
	}
	f, err := regular.Open(file)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", file, err)
	}
	defer f.Close()
	if err := b.store.PutFile(ctx, e.File, f, e.Executable); err != nil {
		if errors.Is(err, cas.ErrCorrupt) {
			return "", fmt.Errorf("%s changed while the build was running; run the command again: %w", file, err)
		}
		return "", fmt.Errorf("copying %s into the store: %w", file, err)
	}
	return b.store.Path(ctx, e.File, e.Executable)
}

// link makes dst be e's content, sharing the store's file: for places that
// actions see read-only.
func (b *blobs) link(ctx context.Context, e tree.Entry, dst string) error {
	p, err := b.fetch(ctx, e)
	if err != nil {
		return err
	}
	return cas.LinkOrCopy(b.fs, p, dst, e.Executable)
}

// copy makes dst a file of its own: for places that actions may write to.
func (b *blobs) copy(ctx context.Context, e tree.Entry, dst string) error {
	p, err := b.fetch(ctx, e)
	if err != nil {
		return err
	}
	return cas.Copy(b.fs, p, dst, e.Executable)
}

// fill makes the empty directory dir hold exactly t, by links into the store.
func (b *blobs) fill(ctx context.Context, t *tree.Tree, dir string) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	for _, e := range t.Entries() {
		p := dir + "/" + e.Name
		var err error
		switch e.Kind {
		case tree.File:
			err = b.link(ctx, e, p)
		case tree.Link:
			if err = b.fs.Symlink(e.Target, p); err == nil {
				err = b.fs.Times(p, fsx.Stamp)
			}
		case tree.Dir:
			if err = b.fs.Mkdir(p, 0o755); err == nil {
				err = b.fill(ctx, e.Dir, p)
			}
		}
		if err != nil {
			return err // it names the file
		}
	}
	return b.fs.Times(dir, fsx.Stamp)
}
