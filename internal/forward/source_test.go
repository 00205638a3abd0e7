package forward

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/internal/budget"
)

// slowly hands out a body in pieces of random length.
type slowly struct {
	*rand.Rand
	rest []byte
	end  error
}

func (s *slowly) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, s.end
	}
	n := copy(p, s.rest[:1+s.IntN(len(s.rest))])
	s.rest = s.rest[n:]
	return n, nil
}

// FuzzEveryAttemptReadsTheBodyFromItsBeginning plays attempts that break off
// anywhere: what the next one reads is the body, or it is refused beforehand.
func FuzzEveryAttemptReadsTheBodyFromItsBeginning(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, uint16(seed*37), uint16(200), seed%2 == 0)
	}
	f.Fuzz(func(t *testing.T, seed uint64, length, limit uint16, async bool) {
		random := rand.New(rand.NewPCG(seed, 7))
		want := make([]byte, length%2000)
		for i := range want {
			want[i] = byte(random.Uint32())
		}
		share := budget.New(int64(random.IntN(2500)), nil)
		s := newSource(&slowly{random, want, io.EOF}, async, int(limit%2000), share)
		for range 1 + random.IntN(4) {
			a := s.attempt()
			if a == nil {
				require.False(t, s.replayable())
				break
			}
			var got []byte
			stop := random.IntN(len(want) + 1)
			for len(got) < stop {
				p := make([]byte, 1+random.IntN(300))
				n, err := a.Read(p)
				got = append(got, p[:n]...)
				if err != nil {
					break
				}
			}
			require.True(t, bytes.HasPrefix(want, got))
			require.LessOrEqual(t, len(s.kept), int(limit%2000)+copyBuffer)
			require.NoError(t, a.Close())
			_, err := a.Read(make([]byte, 1))
			require.ErrorIs(t, err, errAttemptOver)
		}
		if last := s.attempt(); last != nil {
			got, err := io.ReadAll(last)
			require.NoError(t, err)
			require.Equal(t, len(want), len(got))
			require.True(t, bytes.Equal(want, got))
			require.True(t, s.whole())
		}
		s.end()
		require.Zero(t, share.Used(), "what is kept is given back")
	})
}

func TestAttemptThatEndsDoesNotWaitForASilentClient(t *testing.T) {
	r, w := io.Pipe()
	s := newSource(r, true, 100, nil)
	first := s.attempt()
	failed := make(chan error, 1)
	go func() {
		_, err := first.Read(make([]byte, 10))
		failed <- err
	}()
	require.NoError(t, first.Close())
	require.ErrorIs(t, <-failed, errAttemptOver)

	second := s.attempt()
	go func() {
		_, _ = w.Write([]byte("hello"))
		w.Close()
	}()
	got, err := io.ReadAll(second)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got), "what the first attempt had asked for goes to the second")
}

func TestBodyThatFailsIsNotReplayable(t *testing.T) {
	s := newSource(&slowly{rand.New(rand.NewPCG(1, 1)), []byte("half"), io.ErrUnexpectedEOF}, false, 100, nil)
	_, err := io.ReadAll(s.attempt())
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.False(t, s.replayable())
	require.True(t, errors.Is(s.failure(), io.ErrUnexpectedEOF))
}

// pattern is a body whose bytes tell where they belong.
func pattern(seed byte, length int) []byte {
	b := make([]byte, length)
	for i := range b {
		b[i] = seed + byte(i%251)
	}
	return b
}

func TestABufferThatIsUsedAgainNeverShowsInAnotherBody(t *testing.T) {
	share := budget.New(3*replayBytes, nil)
	begin := func(seed byte) *source {
		s := newSource(&slowly{rand.New(rand.NewPCG(uint64(seed), 1)), pattern(seed, 60<<10), io.EOF}, false, replayBytes, share)
		_, err := io.ReadFull(s.attempt(), make([]byte, 50<<10))
		require.NoError(t, err)
		return s
	}
	for range 50 {
		a, b := begin(1), begin(2)
		a.end()
		c := begin(3) // has what a had, as a rule
		for seed, s := range map[byte]*source{2: b, 3: c} {
			got, err := io.ReadAll(s.attempt())
			require.NoError(t, err)
			require.True(t, bytes.Equal(pattern(seed, 60<<10), got), "body %d", seed)
			s.end()
			s.end()
		}
		require.Zero(t, share.Used(), "what is kept is given back, once")
	}
}

func TestABufferCountsAsAWholeHoweverLittleOfItIsUsed(t *testing.T) {
	share := budget.New(replayBytes, nil)
	first := newSource(bytes.NewReader(pattern(1, 60<<10)), false, replayBytes, share)
	_, err := io.ReadFull(first.attempt(), make([]byte, pooledFrom+1))
	require.NoError(t, err)
	require.Equal(t, int64(replayBytes), share.Used())
	second := newSource(bytes.NewReader(pattern(2, 60<<10)), false, replayBytes, share)
	got, err := io.ReadAll(second.attempt())
	require.NoError(t, err, "without room it is sent all the same, once")
	require.True(t, bytes.Equal(pattern(2, 60<<10), got))
	require.False(t, second.replayable())
	first.end()
	second.end()
	require.Zero(t, share.Used())
}

func TestALongBodyIsKeptWithoutGrowing(t *testing.T) {
	body, p := pattern(1, 100<<10), make([]byte, 32<<10)
	allocations := testing.AllocsPerRun(100, func() {
		s := newSource(bytes.NewReader(body), false, replayBytes, nil)
		for a := s.attempt(); ; {
			if _, err := a.Read(p); err != nil {
				break
			}
		}
		s.end()
	})
	// The source, the reader and the attempt, and now and then a buffer.
	require.Less(t, allocations, 5.0)
}
