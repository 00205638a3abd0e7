package window

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func at(second int64) time.Time { return time.Unix(second, 0) }

func record(w *Window, from int64, values ...float64) {
	for i, v := range values {
		if v >= 0 {
			w.Record(at(from+int64(i)), time.Second, v)
		}
	}
}

func TestTheAverageIsOverTheSecondsThatHaveAReading(t *testing.T) {
	w := New(6 * time.Second)
	_, ok := w.Average(6 * time.Second)
	require.False(t, ok, "nothing is known at first")

	record(&w, 100, 4)
	avg, ok := w.Average(6 * time.Second)
	require.True(t, ok)
	require.Equal(t, 4.0, avg, "the seconds before the first reading do not count")

	record(&w, 103, 8)
	avg, _ = w.Average(6 * time.Second)
	require.Equal(t, 6.0, avg, "the hole at 101 and 102 does not count")
	require.Equal(t, 2*time.Second, w.LongestGap(4*time.Second))
	require.Equal(t, 2*time.Second, w.LongestGap(6*time.Second), "98 and 99, and 101 and 102")

	record(&w, 104, 1, 1, 1)
	avg, _ = w.Average(6 * time.Second)
	require.Equal(t, (8.0+1+1+1)/4, avg, "100 has left the window")
	avg, _ = w.Average(2 * time.Second)
	require.Equal(t, 1.0, avg)
}

func TestAMeanOverSeveralSecondsFillsThem(t *testing.T) {
	w := New(6 * time.Second)
	record(&w, 100, 3, 3, 3)
	w.Record(at(105), 3*time.Second, 9)
	require.Zero(t, w.LongestGap(6*time.Second))
	avg, _ := w.Average(6 * time.Second)
	require.Equal(t, 6.0, avg)
}

func TestOneReadingRecordedTwiceCountsOnce(t *testing.T) {
	w := New(6 * time.Second)
	record(&w, 100, 2, 4)
	once := w.Clone()
	record(&w, 101, 4)
	require.Equal(t, once, w)
}

func TestALongSilenceForgetsEverything(t *testing.T) {
	w := New(6 * time.Second)
	record(&w, 100, 50, 50, 50)
	record(&w, 1_000_000, 2)
	avg, _ := w.Average(6 * time.Second)
	require.Equal(t, 2.0, avg)
	require.Equal(t, 5*time.Second, w.LongestGap(6*time.Second))
}

func TestWhatIsNoDemandIsDropped(t *testing.T) {
	w := New(6 * time.Second)
	for _, v := range []float64{-1, math.NaN(), math.Inf(1), math.Inf(-1)} {
		w.Record(at(100), time.Second, v)
	}
	w.Record(time.Time{}, time.Second, 1)
	require.True(t, w.Empty())
	record(&w, 100, 1)
	w.Record(at(94), time.Second, 7)
	require.Equal(t, 5*time.Second, w.LongestGap(6*time.Second), "94 is older than the window")
	w.Record(at(95), time.Second, 7)
	avg, _ := w.Average(6 * time.Second)
	require.Equal(t, 4.0, avg, "a late reading inside the window counts")

	var zero Window
	zero.Record(at(100), time.Second, 1)
	require.True(t, zero.Empty())
}

func TestResizeKeepsTheNewest(t *testing.T) {
	w := New(4 * time.Second)
	record(&w, 100, 1, 2, 3, 4)
	before := w.Clone()
	wide := w
	wide.Resize(8 * time.Second)
	require.Equal(t, before, w, "the original is untouched")
	avg, _ := wide.Average(8 * time.Second)
	require.Equal(t, 2.5, avg)
	require.Equal(t, 4*time.Second, wide.LongestGap(8*time.Second))

	narrow := w
	narrow.Resize(2 * time.Second)
	avg, _ = narrow.Average(2 * time.Second)
	require.Equal(t, 3.5, avg)
}

// reference is the same thing without a ring: every reading, by second.
type reference struct {
	size   int64
	newest int64
	values map[int64]float64
}

func (r *reference) record(second, over int64, value float64) {
	if r.newest-second >= r.size {
		return
	}
	r.newest = max(r.newest, second)
	for s := second; s == second || s > second-over; s-- {
		r.values[s] = value
	}
}

func (r *reference) average(over int64) (float64, bool) {
	var sum, n float64
	for s := r.newest - min(over, r.size) + 1; s <= r.newest; s++ {
		if v, ok := r.values[s]; ok {
			sum, n = sum+v, n+1
		}
	}
	return sum / n, n > 0
}

func FuzzWindowAgreesWithAListOfReadings(f *testing.F) {
	f.Add(uint8(6), []byte{1, 1, 5, 1, 1, 5, 3, 2, 9, 200, 1, 4})
	f.Add(uint8(60), []byte{0, 0, 0, 255, 3, 1, 128, 1, 1})
	f.Fuzz(func(t *testing.T, size uint8, script []byte) {
		n := int64(size%90) + 1
		w := New(time.Duration(n) * time.Second)
		ref := reference{size: n, values: map[int64]float64{}}
		now := int64(1_000_000)
		for ; len(script) >= 3; script = script[3:] {
			now += int64(script[0]) - 60 // also backwards
			over, value := int64(script[1]%5), float64(script[2])
			// The reference forgets what the ring has no room for.
			w.Record(at(now), time.Duration(over)*time.Second, value)
			ref.record(now, over, value)
			for s := range ref.values {
				if ref.newest-s >= n {
					delete(ref.values, s)
				}
			}
			for _, span := range []int64{1, n / 2, n, 2 * n} {
				want, wantOK := ref.average(max(span, 1))
				got, ok := w.Average(time.Duration(max(span, 1)) * time.Second)
				require.Equal(t, wantOK, ok)
				if ok {
					require.InDelta(t, want, got, 1e-9)
				}
			}
			data, err := json.Marshal(w)
			require.NoError(t, err)
			var back Window
			require.NoError(t, json.Unmarshal(data, &back))
			require.Equal(t, w, back)
		}
	})
}

func BenchmarkRecordAndAverageOneMinute(b *testing.B) {
	w := New(time.Minute)
	now := at(1_000_000)
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		w.Record(now, time.Second, 3)
		w.Average(time.Minute)
		w.Average(6 * time.Second)
	}
}
