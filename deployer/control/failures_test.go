package control

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/deployer/status"
)

func TestAFailureIsReportedOnceItHasLasted(t *testing.T) {
	begin := time.Unix(0, 0)
	blip := fmt.Errorf("applying: %w", errors.New("etcdserver: leader changed"))
	reported := &status.Problem{Reason: "ReconcileFailed", Message: "applying: etcdserver: leader changed. It is tried again."}
	held := fmt.Errorf("applying: %w", leftover{objectKey{serviceKind, "ml", "iris"}, true, []string{"a/b", "c/d"}})
	terminating := &status.Problem{Reason: "ObjectTerminating",
		Message: "Service ml/iris is being deleted and still has the finalizers a/b, c/d, so another cannot be made. See what is to remove them."}
	for _, c := range []struct {
		situation string
		err       error
		after     time.Duration
		times     int
		want      *status.Problem
	}{
		{"the first", blip, 0, 1, nil},
		{"many within seconds, as events bring", blip, 5 * time.Second, 50, nil},
		{"few, but long ago", blip, time.Minute, 2, nil},
		{"many for long", blip, 30 * time.Second, 10, reported},
		{"an object that goes", held, time.Second, 5, nil},
		{"an object that does not go", held, 5 * time.Second, 7, terminating},
	} {
		t.Run(c.situation, func(t *testing.T) {
			f := failures{byKey: map[string]failure{}}
			for range c.times - 1 {
				f.failed("ml/iris", begin)
			}
			now := begin.Add(c.after)
			row := f.failed("ml/iris", now)
			if c.times == 1 {
				row.since = begin
			}
			require.Equal(t, c.want, lasting(c.err, row, now))
			f.forget("ml/iris")
			require.Equal(t, failure{now, 1}, f.failed("ml/iris", now), "a pass that went well ends the row")
		})
	}
}
