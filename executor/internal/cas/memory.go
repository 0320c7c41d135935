package cas

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"gorules/executor/internal/digest"
)

// Memory is a store in memory, for tests. The zero value is empty and ready.
type Memory struct {
	mu    sync.Mutex
	blobs map[digest.Digest][]byte
}

// Missing implements Store.
func (s *Memory) Missing(_ context.Context, ds []digest.Digest) ([]digest.Digest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []digest.Digest
	seen := map[digest.Digest]bool{digest.Empty: true}
	for _, d := range ds {
		if _, ok := s.blobs[d]; !ok && !seen[d] {
			out = append(out, d)
		}
		seen[d] = true
	}
	return out, nil
}

// Get implements Store.
func (s *Memory) Get(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.blobs[d]
	if !ok && d != digest.Empty {
		return nil, fmt.Errorf("blob %s: %w", d, ErrNotFound)
	}
	return Verify(d, io.NopCloser(bytes.NewReader(b))), nil
}

// Put implements Store.
func (s *Memory) Put(ctx context.Context, d digest.Digest, r io.Reader) error {
	b, err := io.ReadAll(&ctxReader{ctx, r})
	if err != nil {
		return fmt.Errorf("storing blob %s: %w", d, err)
	}
	if got := digest.Of(b); got != d {
		return fmt.Errorf("storing blob %s: got %s: %w", d, got, ErrCorrupt)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blobs == nil {
		s.blobs = map[digest.Digest][]byte{}
	}
	s.blobs[d] = b
	return nil
}
