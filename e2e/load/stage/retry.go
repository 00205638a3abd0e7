package stage

import (
	"context"
	"time"
)

// retry tries until there is no error, for as long as a start may take.
func retry[T any](ctx context.Context, try func() (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		v, err := try()
		if err == nil {
			return v, nil
		}
		select {
		case <-ctx.Done():
			return v, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}
