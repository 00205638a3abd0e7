package bodyhold

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/internal/budget"
)

func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

func spool(t *testing.T, each, total int64) *Spool {
	s, err := NewSpool(SpoolOptions{Dir: t.TempDir(), MaxEach: each, MaxTotal: total})
	require.NoError(t, err)
	return s
}

func TestWhatIsReadIsWhatWasSent(t *testing.T) {
	for name, c := range map[string]struct {
		size   int
		length int64
		whole  bool
	}{
		"empty":                                    {0, -1, true},
		"length known":                             {512, 512, true},
		"length unknown":                           {5000, -1, true},
		"just the memory's bound":                  {64 << 10, 64 << 10, true},
		"beyond the memory, into the spool":        {500 << 10, 500 << 10, true},
		"beyond the memory, length unknown":        {500 << 10, -1, true},
		"beyond the spool, the rest streamed":      {5 << 20, 5 << 20, false},
		"beyond the spool, rest of unknown length": {5 << 20, -1, false},
	} {
		t.Run(name, func(t *testing.T) {
			memory := budget.New(1<<20, nil)
			s := spool(t, 2<<20, 8<<20)
			b := Start(bytes.NewReader(content(c.size)), c.length, Options{MaxMemory: 64 << 10, Memory: memory, Spool: s})
			<-b.Settled()
			require.Equal(t, c.whole, b.Whole())
			require.NoError(t, b.Err())
			require.LessOrEqual(t, memory.Used(), int64(64<<10))
			b.Release()
			got, err := io.ReadAll(b)
			require.NoError(t, err)
			require.True(t, bytes.Equal(content(c.size), got))
			b.Close()
			b.Close()
			require.Zero(t, memory.Used())
			require.Zero(t, s.Used())
			_, err = b.Read(make([]byte, 1))
			require.Error(t, err)
		})
	}
}

func TestAKnownLengthTakesNoMoreMemoryThanItNeeds(t *testing.T) {
	memory := budget.New(1<<20, nil)
	b := Start(bytes.NewReader(content(512)), 512, Options{MaxMemory: 256 << 10, Memory: memory})
	<-b.Settled()
	require.EqualValues(t, 513, memory.Used())
	b.Close()
}

func TestAnAnnouncedLengthAloneTakesNoMemory(t *testing.T) {
	memory := budget.New(1<<20, nil)
	r, w := io.Pipe()
	b := Start(r, 200<<10, Options{MaxMemory: 256 << 10, Memory: memory, Interrupt: func() { r.CloseWithError(errors.New("interrupted")) }})
	_, err := w.Write([]byte("x"))
	require.NoError(t, err)
	require.LessOrEqual(t, memory.Used(), int64(firstBuffer))
	b.Close()
	require.Zero(t, memory.Used())
}

func TestWithoutMemoryTheBodyIsRefused(t *testing.T) {
	memory := budget.New(1000, nil)
	b := Start(bytes.NewReader(content(5000)), 5000, Options{MaxMemory: 256 << 10, Memory: memory})
	<-b.Settled()
	require.ErrorIs(t, b.Err(), ErrNoMemory)
	b.Close()
	require.Zero(t, memory.Used())
}

func TestAnExhaustedSpoolStopsTheReadingAndLosesNothing(t *testing.T) {
	s := spool(t, 4<<20, 1<<20)
	o := Options{MaxMemory: 1 << 10, Spool: s}
	a := Start(bytes.NewReader(content(900<<10)), -1, o)
	<-a.Settled()
	require.True(t, a.Whole())
	b := Start(bytes.NewReader(content(900<<10)), -1, o)
	<-b.Settled()
	require.False(t, b.Whole())
	require.NoError(t, b.Err())
	b.Release()
	got, err := io.ReadAll(b)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content(900<<10), got))
	a.Close()
	b.Close()
	require.Zero(t, s.Used())
}

func TestAHangUpInTheMiddleOfTheBodyIsSeen(t *testing.T) {
	r, w := io.Pipe()
	b := Start(r, 1000, Options{MaxMemory: 2000})
	_, err := w.Write(content(10))
	require.NoError(t, err)
	require.NoError(t, w.CloseWithError(io.ErrUnexpectedEOF))
	<-b.Settled()
	require.ErrorIs(t, b.Err(), io.ErrUnexpectedEOF)
	b.Close()
}

func TestAClientThatWaitsForAnAnswerIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		b := Start(r, -1, Options{MaxMemory: 1 << 10, Interrupt: func() { r.Close() }})
		go func() {
			_, _ = w.Write([]byte("one"))
			time.Sleep(80 * time.Millisecond)
			_, _ = w.Write([]byte("two"))
		}()
		start := time.Now()
		b.Await(nil, 100*time.Millisecond, time.Hour)
		require.Equal(t, 200*time.Millisecond, time.Since(start), "one full pause without a byte")
		b.Release()
		p := make([]byte, 16)
		n, err := io.ReadFull(b, p[:6])
		require.NoError(t, err)
		require.Equal(t, "onetwo", string(p[:n]))
		// The Read under way when the request was released still belongs to the body.
		go func() {
			_, _ = w.Write([]byte("three"))
			_, _ = w.Write([]byte("four"))
			w.Close()
		}()
		rest, err := io.ReadAll(b)
		require.NoError(t, err)
		require.Equal(t, "threefour", string(rest))
		b.Close()
	})
}

func TestABodyThatComesAndComesIsWaitedForNoLongerThanAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		b := Start(r, -1, Options{MaxMemory: 1 << 10, Interrupt: func() { r.Close() }})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				if _, err := w.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		}()
		start := time.Now()
		b.Await(nil, 100*time.Millisecond, time.Second)
		require.Equal(t, time.Second, time.Since(start))
		require.True(t, b.Coming())
		b.Release()
		require.False(t, b.Coming())
		b.Close()
		<-ended
	})
}

func TestCloseInterruptsABlockedReadOnEitherSide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := io.Pipe()
		b := Start(r, 10, Options{MaxMemory: 100, Interrupt: func() { r.Close() }})
		read := make(chan error)
		go func() {
			_, err := b.Read(make([]byte, 1))
			read <- err
		}()
		synctest.Wait()
		b.Close()
		require.Error(t, <-read)
	})
}

func TestCloseInterruptsAReaderOfTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		b := Start(r, 10, Options{MaxMemory: 4, Interrupt: func() { r.Close() }})
		_, err := w.Write([]byte("held"))
		require.NoError(t, err)
		<-b.Settled()
		require.False(t, b.Whole())
		read := make(chan error)
		go func() {
			_, err := io.ReadAll(b)
			read <- err
		}()
		synctest.Wait()
		b.Close()
		require.Error(t, <-read)
	})
}

func TestAwaitEndsWhenTheRequestIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := io.Pipe()
		b := Start(r, 10, Options{MaxMemory: 100, Interrupt: func() { r.Close() }})
		cancelled := make(chan struct{})
		close(cancelled)
		b.Await(cancelled, time.Hour, time.Hour)
		b.Close()
	})
}

func TestAMissingSpoolDirectoryIsNamed(t *testing.T) {
	_, err := NewSpool(SpoolOptions{Dir: "/does/not/exist"})
	require.ErrorContains(t, err, "/does/not/exist")
}
