// Package castest has the suite that every cas.Store passes.
package castest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
)

// Run tests the stores that open makes; each must be empty.
func Run(t *testing.T, open func(t *testing.T) cas.Store) {
	ctx := context.Background()
	blob := []byte("some bytes")
	d := digest.Of(blob)

	t.Run("absent", func(t *testing.T) {
		s := open(t)
		if _, err := s.Get(ctx, d); !errors.Is(err, cas.ErrNotFound) {
			t.Errorf("Get of an absent blob: %v, want ErrNotFound", err)
		}
		got, err := s.Missing(ctx, []digest.Digest{d, d, digest.Empty})
		if err != nil || len(got) != 1 || got[0] != d {
			t.Errorf("Missing = %v, %v, want %v once", got, err, d)
		}
	})
	t.Run("round trip", func(t *testing.T) {
		s := open(t)
		for range 2 { // idempotent
			if err := s.Put(ctx, d, bytes.NewReader(blob)); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Missing(ctx, []digest.Digest{d}); err != nil || len(got) != 0 {
			t.Errorf("Missing after Put = %v, %v", got, err)
		}
		if got, err := cas.ReadAll(ctx, s, d); err != nil || !bytes.Equal(got, blob) {
			t.Errorf("ReadAll = %q, %v", got, err)
		}
	})
	t.Run("empty", func(t *testing.T) {
		s := open(t)
		if b, err := cas.ReadAll(ctx, s, digest.Empty); err != nil || len(b) != 0 {
			t.Errorf("ReadAll of the empty blob = %q, %v", b, err)
		}
		if err := s.Put(ctx, digest.Empty, bytes.NewReader(nil)); err != nil {
			t.Error(err)
		}
	})
	t.Run("wrong bytes are refused", func(t *testing.T) {
		for name, b := range map[string][]byte{
			"short": blob[:4], "long": append(bytes.Clone(blob), 'x'), "other": []byte("other byte"), "none": nil,
		} {
			s := open(t)
			if err := s.Put(ctx, d, bytes.NewReader(b)); !errors.Is(err, cas.ErrCorrupt) {
				t.Errorf("%s: Put = %v, want ErrCorrupt", name, err)
			}
			if _, err := s.Get(ctx, d); !errors.Is(err, cas.ErrNotFound) {
				t.Errorf("%s: Get after a refused Put = %v, want ErrNotFound", name, err)
			}
		}
	})
	t.Run("failing reader", func(t *testing.T) {
		s := open(t)
		bad := errors.New("cable cut")
		r := io.MultiReader(bytes.NewReader(blob[:3]), errReader{bad})
		if err := s.Put(ctx, d, r); !errors.Is(err, bad) {
			t.Errorf("Put = %v, want the reader's error", err)
		}
		if _, err := s.Get(ctx, d); !errors.Is(err, cas.ErrNotFound) {
			t.Errorf("Get = %v, want ErrNotFound", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		s := open(t)
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		if err := s.Put(ctx, d, bytes.NewReader(blob)); !errors.Is(err, context.Canceled) {
			t.Errorf("Put = %v, want context.Canceled", err)
		}
	})
	t.Run("concurrent", func(t *testing.T) {
		s := open(t)
		big := bytes.Repeat(blob, 100_000)
		bd := digest.Of(big)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := s.Put(ctx, bd, bytes.NewReader(big)); err != nil {
					t.Error(err)
				}
				if got, err := cas.ReadAll(ctx, s, bd); err != nil || !bytes.Equal(got, big) {
					t.Errorf("ReadAll: %d bytes, %v", len(got), err)
				}
			})
		}
		wg.Wait()
	})
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
