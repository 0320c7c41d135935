package worker

import (
	"context"
	"errors"
	"io"

	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/regular"
)

// WithSources is a store that serves also the blobs of source files that are not
// in it yet: what was digested is copied in when an action is about to see it,
// and checked on the way, so that an edit during the build is an error and not
// an input. path names the file of a blob.
func WithSources(s cas.Store, path func(digest.Digest) (string, bool)) cas.Store {
	return sourceStore{s, path}
}

type sourceStore struct {
	cas.Store
	path func(digest.Digest) (string, bool)
}

func (s sourceStore) Get(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	r, err := s.Store.Get(ctx, d)
	if !errors.Is(err, cas.ErrNotFound) {
		return r, err
	}
	name, ok := s.path(d)
	if !ok {
		return nil, err
	}
	f, err := regular.Open(name)
	if err != nil {
		return nil, err
	}
	return cas.Verify(d, f), nil
}
