package bodyhold

import (
	"fmt"
	"os"

	"github.com/rawserve/rawserve/internal/budget"
)

// spoolStep is how much of the spool's budget a body takes at a time.
const spoolStep = 1 << 20

// Spool is the disk that bodies of held requests may use. Its files have no
// names, so that nothing is left behind by a process that is killed.
type Spool struct {
	dir     string
	maxEach int64
	total   *budget.Budget
	onError func(error)
}

// SpoolOptions describe a Spool.
type SpoolOptions struct {
	// Dir is the directory of the files; it must exist.
	Dir string
	// MaxEach is the largest part of one body on disk.
	MaxEach int64
	// MaxTotal is the most that all bodies together take.
	MaxTotal int64
	// OnError is told when the disk refuses. May be nil.
	OnError func(error)
}

// NewSpool returns a Spool and checks that its directory can be written to.
func NewSpool(o SpoolOptions) (*Spool, error) {
	s := &Spool{dir: o.Dir, maxEach: o.MaxEach, total: budget.New(o.MaxTotal, nil), onError: o.OnError}
	f, err := s.open()
	if err != nil {
		return nil, err
	}
	f.Close()
	return s, nil
}

// Used is how much disk is reserved now.
func (s *Spool) Used() int64 { return s.total.Used() }

func (s *Spool) open() (*os.File, error) {
	f, err := os.CreateTemp(s.dir, "body-*")
	if err != nil {
		return nil, fmt.Errorf("opening a spool file in %s: %w", s.dir, err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, fmt.Errorf("unlinking a spool file in %s: %w", s.dir, err)
	}
	return f, nil
}

func (s *Spool) take(n int64) bool { return n > 0 && s.total.Take(n) }
func (s *Spool) give(n int64)      { s.total.Give(n) }

func (s *Spool) note(err error) {
	if s.onError != nil {
		s.onError(err)
	}
}
