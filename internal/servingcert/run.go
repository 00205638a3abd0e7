package servingcert

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

const (
	// republish is how often the CA is compared with what is published, because
	// somebody may have written over it.
	republish = time.Minute
	// firstRetry and lastRetry bound the wait after something went wrong.
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// Run keeps the certificate until ctx is done: it looks when the Secret changes,
// when something is due, and once a minute.
func (m *Manager) Run(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	poke := func() {
		select {
		case changed <- struct{}{}:
		default: // a look is due already
		}
	}
	factory := informers.NewSharedInformerFactoryWithOptions(m.opts.Client, 0,
		informers.WithNamespace(m.opts.Namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, m.opts.SecretName).String()
		}))
	informer := factory.Core().V1().Secrets().Informer()
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { poke() },
		UpdateFunc: func(any, any) { poke() },
		DeleteFunc: func(any) { poke() },
	}); err != nil {
		return fmt.Errorf("watching secret %s/%s: %w", m.opts.Namespace, m.opts.SecretName, err)
	}
	factory.StartWithContext(ctx)
	defer factory.Shutdown()

	retry := firstRetry
	for {
		wait := republish
		again, err := m.Sync(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			m.opts.Log.Error("keeping the serving certificate", "error", err, "retryAfter", retry)
			wait, retry = retry, min(2*retry, lastRetry)
		default:
			retry = firstRetry
			wait = min(wait, max(0, again.Sub(m.opts.Clock.Now())))
		}
		timer := m.opts.Clock.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-changed:
		case <-timer.C():
		}
		timer.Stop()
	}
}
