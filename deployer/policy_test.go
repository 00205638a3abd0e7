package deployer

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/autoscaler"
)

// FuzzTheAutoscalerTakesEveryScaler: a value that only the autoscaler refused would
// keep the whole policy from being applied.
func FuzzTheAutoscalerTakesEveryScaler(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed)
	}
	numbers := []string{"-2", "-1", "0", "0.001", "0.01", "0.5", "1", "2", "7", "99.5", "100", "110", "1000", "1001", "1e9", "1000000001", "2e9", "2147483647", "2147483648", "1e300", "NaN", "many"}
	spans := []string{"-1s", "0s", "0.5s", "1s", "1.5s", "5s", "6s", "59m59s", "1h", "1h1s", "24h", "24h1s", "500000h", "ever"}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 9))
		annotations := map[string]string{}
		for _, key := range []string{"min-scale", "max-scale", "initial-scale", "activation-scale", "target", "target-utilization-percentage",
			"panic-window-percentage", "panic-threshold-percentage", "target-burst-capacity"} {
			if r.IntN(2) == 0 {
				annotations[key] = numbers[r.IntN(len(numbers))]
			}
		}
		for _, key := range []string{"window", "scale-down-delay", "scale-to-zero-pod-retention-period", deadlineAnnotation} {
			if r.IntN(2) == 0 {
				annotations[key] = spans[r.IntN(len(spans))]
			}
		}
		fields := []string{"", "{scaleMetric: rps}", "{scaleMetric: concurrency, scaleTarget: 1000000000}", "{containerConcurrency: 9000000000000000000}",
			"{minReplicas: 0}", "{minReplicas: 2147483647}", "{maxReplicas: 2}", "{minReplicas: 3, maxReplicas: 3}"}
		o, err := scaled(t, fields[r.IntN(len(fields))], annotations)
		if err != nil {
			return
		}
		spec, err := convert[rawservev1alpha1.ScalerSpec](o.Scaler.Spec)
		require.NoError(t, err)
		_, errs := autoscaler.PolicyFrom(spec)
		require.Empty(t, errs, "%v", annotations)
	})
}
