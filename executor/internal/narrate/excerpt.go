package narrate

import (
	"fmt"
	"strings"
)

// maxShown is how many bytes of what one process printed are shown: half from
// its begin, where compilers say what is wrong, and half from its end, where
// other programs do. The whole text stays in the store.
const maxShown = 1 << 20

// excerpt is a writer that keeps the begin and the end of what is written.
type excerpt struct {
	head strings.Builder
	tail []byte // the last maxShown/2 bytes behind head, and at most as many before them
	gone int    // bytes that were dropped between head and tail
}

func (e *excerpt) WriteString(s string) {
	if n := min(len(s), maxShown/2-e.head.Len()); n > 0 {
		e.head.WriteString(s[:n])
		s = s[n:]
	}
	e.tail = append(e.tail, s...)
	if len(e.tail) > maxShown {
		e.gone += len(e.tail) - maxShown/2
		e.tail = append(e.tail[:0], e.tail[len(e.tail)-maxShown/2:]...)
	}
}

func (e *excerpt) String() string {
	gone, tail := e.gone, e.tail
	if n := len(tail) - maxShown/2; n > 0 && gone+n > 0 {
		gone, tail = gone+n, tail[n:]
	}
	if gone == 0 {
		return e.head.String() + string(tail)
	}
	return e.head.String() + fmt.Sprintf("\n[gorules: %d bytes are not shown]\n", gone) + string(tail)
}
