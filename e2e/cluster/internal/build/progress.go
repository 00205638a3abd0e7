package build

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Progress tells a person what is being waited for: on a terminal by one line
// that changes every second, otherwise by a line now and then. Its zero value
// and nil tell nobody.
type Progress struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
}

// NewProgress writes to out, and looks whether that is a terminal.
func NewProgress(out io.Writer) *Progress {
	p := &Progress{out: out}
	if f, ok := out.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		p.terminal = err == nil
	}
	return p
}

// plainEvery keeps the log of a build machine short and yet alive.
const plainEvery = 15 * time.Second

// Say prints a line.
func (p *Progress) Say(format string, args ...any) {
	if p == nil || p.out == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// Start announces something that takes time. The function it gives is called
// once, when that has ended.
func (p *Progress) Start(what string) func(error) {
	if p == nil || p.out == nil {
		return func(error) {}
	}
	began := time.Now()
	every := plainEvery
	if p.terminal {
		every = time.Second
	} else {
		p.Say("%s", what)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				p.line(what, began, false)
			case <-stop:
				return
			}
		}
	}()
	return func(err error) {
		close(stop)
		<-stopped
		if err != nil {
			what += ": failed"
		}
		p.line(what, began, true)
	}
}

// line writes the state of a thing. On a terminal the cursor goes back to the
// start of the line until the last time.
func (p *Progress) line(what string, began time.Time, last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	elapsed := time.Since(began).Round(time.Second / 10)
	switch {
	case p.terminal && last:
		fmt.Fprintf(p.out, "\r\033[K%s: %s\n", what, elapsed)
	case p.terminal:
		fmt.Fprintf(p.out, "\r\033[K%s: %s", what, elapsed.Round(time.Second))
	default:
		fmt.Fprintf(p.out, "%s: %s\n", what, elapsed)
	}
}
