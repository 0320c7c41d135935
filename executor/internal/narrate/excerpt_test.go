package narrate

import (
	"fmt"
	"strings"
	"testing"
)

func TestExcerpt(t *testing.T) {
	for _, n := range []int{0, 1, maxShown/2 - 1, maxShown / 2, maxShown - 1, maxShown, maxShown + 1, 3*maxShown/2 + 1, 10 * maxShown} {
		for _, piece := range []int{1000, maxShown / 4, 3 * maxShown} {
			var whole strings.Builder
			for whole.Len() < n {
				fmt.Fprintf(&whole, "%d ", whole.Len())
			}
			text := whole.String()[:n]
			var e excerpt
			for rest := text; rest != ""; {
				k := min(piece, len(rest))
				e.WriteString(rest[:k])
				rest = rest[k:]
				if len(e.tail) > maxShown {
					t.Fatalf("%d bytes are held", len(e.tail))
				}
			}
			want := text
			if n > maxShown {
				want = text[:maxShown/2] + fmt.Sprintf("\n[gorules: %d bytes are not shown]\n", n-maxShown) + text[n-maxShown/2:]
			}
			if got := e.String(); got != want {
				t.Errorf("%d bytes in pieces of %d: got %d bytes, want %d", n, piece, len(got), len(want))
			}
		}
	}
}
