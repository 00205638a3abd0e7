package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// errLeaseLost ends the process: what it knows may be outdated, and a restart is
// the simplest way to forget it.
var errLeaseLost = errors.New("lost the lease to lead; the process ends and is started anew")

// election says who is elected where.
type election struct {
	client    coordinationv1.LeasesGetter
	namespace string
	identity  string
	config    LeaderElectionConfig
	log       *slog.Logger
}

// lead waits to become the leader, works, and gives the lease back once the work
// has ended. It returns when ctx is done, with errLeaseLost when somebody else
// leads, and with the work's error.
func (e election) lead(ctx context.Context, work func(ctx context.Context) error) error {
	// The election outlives ctx until the work has ended: a lease given back earlier
	// would let the next leader begin while this one still writes.
	electing, resign := context.WithCancel(context.WithoutCancel(ctx))
	defer resign()
	var mu sync.Mutex
	leading, worked := false, make(chan struct{})
	// These two are set before worked is closed.
	var workErr error
	var lost bool
	stop := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		if !leading {
			resign()
		}
	})
	defer stop()

	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: e.namespace, Name: e.config.LeaseName},
		Client:     e.client,
		LockConfig: resourcelock.ResourceLockConfig{Identity: e.identity},
	}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:          lock,
		LeaseDuration: e.config.LeaseDuration.Duration,
		RenewDeadline: e.config.RenewDeadline.Duration,
		RetryPeriod:   e.config.RetryPeriod.Duration,
		// Of its own accord the elector would release when a renewal fails, too, while the
		// work has not stopped yet.
		ReleaseOnCancel: false,
		Name:            e.config.LeaseName,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(elected context.Context) {
				defer close(worked)
				defer resign()
				working, end := context.WithCancel(elected)
				defer end()
				mu.Lock()
				leading = true
				mu.Unlock()
				defer context.AfterFunc(ctx, end)()
				e.log.Info("leading", "identity", e.identity)
				workErr = work(working)
				lost = elected.Err() != nil && ctx.Err() == nil
			},
			OnStoppedLeading: func() {},
			OnNewLeader: func(identity string) {
				if identity != e.identity {
					e.log.Info("another controller leads", "leader", identity)
				}
			},
		},
	})
	if err != nil {
		return fmt.Errorf("preparing the election: %w", err)
	}
	elector.Run(electing)
	mu.Lock()
	led := leading
	mu.Unlock()
	if !led {
		return nil
	}
	<-worked
	if err := e.release(context.WithoutCancel(ctx), lock); err != nil {
		// It ends by itself.
		e.log.Warn("the lease is not given back; the next leader waits until it ends", "error", err)
	}
	if lost {
		return errors.Join(errLeaseLost, workErr)
	}
	return workErr
}

// release gives the lease back if it is still ours, so that the next leader need not
// wait for its end.
func (e election) release(ctx context.Context, lock *resourcelock.LeaseLock) error {
	ctx, cancel := context.WithTimeout(ctx, e.config.RenewDeadline.Duration)
	defer cancel()
	record, _, err := lock.Get(ctx)
	if err != nil {
		return fmt.Errorf("reading the lease: %w", err)
	}
	if record.HolderIdentity != e.identity {
		return nil
	}
	now := metav1.Now()
	// The API server takes no lease of no duration.
	released := resourcelock.LeaderElectionRecord{LeaseDurationSeconds: 1, LeaderTransitions: record.LeaderTransitions, RenewTime: now, AcquireTime: now}
	if err := lock.Update(ctx, released); err != nil {
		return fmt.Errorf("giving the lease back: %w", err)
	}
	return nil
}
