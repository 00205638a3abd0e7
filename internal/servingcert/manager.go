// Package servingcert keeps the certificate of an HTTPS server inside the cluster:
// made by ourselves, held in a Secret that all replicas share, replaced well
// before its end, and with its CA published to those who must trust it. No
// cert-manager is needed.
//
// Callers say for which names, in which Secret, and how to publish; they serve
// with GetCertificate.
package servingcert

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
)

// ErrNone is returned while there is no certificate yet.
var ErrNone = errors.New("there is no serving certificate yet")

// Options are what a Manager needs.
type Options struct {
	// Client reads and writes the Secret.
	Client kubernetes.Interface
	// Namespace of the Secret.
	Namespace string
	// SecretName is the Secret's name. It is made if absent.
	SecretName string
	// Labels are put on the Secret when it is made.
	Labels map[string]string
	// DNSNames are the names that clients connect to.
	DNSNames []string
	// Publish makes a CA bundle, in PEM, known to those who must trust it. It is
	// called again and again and must write only what differs.
	Publish func(ctx context.Context, caBundle []byte) error
	// Validity of a certificate. Default 90 days.
	Validity time.Duration
	// RenewBefore is how long before the end of a certificate the next one is made.
	// Default a third of Validity.
	RenewBefore time.Duration
	// Overlap is how long the next certificate's CA is published before it is
	// served. Default 1 h.
	Overlap time.Duration
	// Clock says when things are due. Default: the real one.
	Clock clock.Clock
	// Log gets changes of the certificate. Default: slog.Default.
	Log *slog.Logger
}

// Manager keeps one serving certificate. Its methods may be called concurrently.
type Manager struct {
	opts    Options
	policy  policy
	current atomic.Pointer[served]

	mu       sync.Mutex // guards onChange
	onChange []func()
}

// served is a certificate ready for use.
type served struct {
	tls  tls.Certificate
	pair *pair
}

// New checks the options. It reads nothing; call Sync or Run.
func New(o Options) (*Manager, error) {
	if o.Client == nil || o.Namespace == "" || o.SecretName == "" || o.Publish == nil {
		return nil, errors.New("serving certificate needs a client, a namespace, a name for the secret and a way to publish")
	}
	if len(o.DNSNames) == 0 {
		return nil, errors.New("serving certificate needs at least one DNS name")
	}
	if o.Validity == 0 {
		o.Validity = 90 * 24 * time.Hour
	}
	if o.RenewBefore == 0 {
		o.RenewBefore = o.Validity / 3
	}
	if o.Overlap == 0 {
		o.Overlap = time.Hour
	}
	if o.Overlap < 0 || o.Overlap >= o.RenewBefore || o.RenewBefore >= o.Validity {
		return nil, fmt.Errorf("times of a serving certificate must grow: overlap %s, renewal before the end %s, validity %s", o.Overlap, o.RenewBefore, o.Validity)
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	o.DNSNames = slices.Clone(o.DNSNames)
	return &Manager{
		opts:   o,
		policy: policy{names: o.DNSNames, validity: o.Validity, renew: o.RenewBefore, overlap: o.Overlap},
	}, nil
}

// GetCertificate is for tls.Config: it returns the certificate in force.
func (m *Manager) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s := m.current.Load()
	if s == nil {
		return nil, ErrNone
	}
	return &s.tls, nil
}

// PEM returns the certificate in force and its key, or nothing before there is one.
func (m *Manager) PEM() (cert, key []byte) {
	s := m.current.Load()
	if s == nil {
		return nil, nil
	}
	return s.pair.cert, s.pair.key
}

// Ready returns nil when there is a certificate that is valid now, for readiness checks.
func (m *Manager) Ready() error {
	s := m.current.Load()
	if s == nil {
		return ErrNone
	}
	if now := m.opts.Clock.Now(); !now.Before(s.pair.leaf.NotAfter) {
		return fmt.Errorf("the serving certificate ended at %s", s.pair.leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// OnChange registers a function to call, quickly and from any goroutine, after
// the certificate has changed.
func (m *Manager) OnChange(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.onChange = append(m.onChange, f)
}

// Sync brings the Secret, what is served and what is published up to date, and
// returns when to do so again. When only publishing went wrong there is an error
// and the certificate is served nevertheless.
func (m *Manager) Sync(ctx context.Context) (time.Time, error) {
	b, again, err := m.settle(ctx)
	if err != nil {
		return time.Time{}, err
	}
	if err := m.serve(b.cur); err != nil {
		return time.Time{}, err
	}
	if err := m.opts.Publish(ctx, b.caBundle(m.opts.Clock.Now())); err != nil {
		return again, fmt.Errorf("publishing the CA of the serving certificate: %w", err)
	}
	return again, nil
}

// settle reads the Secret and does what is due. Replicas that do so at the same
// time agree, because only one of them can create it, or update the version that
// it read; the others read again and find nothing left to do.
func (m *Manager) settle(ctx context.Context) (bundle, time.Time, error) {
	const tries = 10
	secrets := m.opts.Client.CoreV1().Secrets(m.opts.Namespace)
	key := m.opts.Namespace + "/" + m.opts.SecretName
	for range tries {
		secret, err := secrets.Get(ctx, m.opts.SecretName, metav1.GetOptions{})
		absent := apierrors.IsNotFound(err)
		if err != nil && !absent {
			return bundle{}, time.Time{}, fmt.Errorf("reading secret %s: %w", key, err)
		}
		if absent {
			secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: m.opts.Namespace, Name: m.opts.SecretName, Labels: m.opts.Labels}}
		}
		b, err := parse(secret.Data)
		if err != nil {
			m.opts.Log.Warn("the secret of the serving certificate is damaged", "secret", key, "error", err)
		}
		now := m.opts.Clock.Now()
		d := m.policy.decide(b, now)
		if d.action == keep {
			return b, d.again, nil
		}
		if b, err = m.policy.apply(b, d.action, now); err != nil {
			return bundle{}, time.Time{}, err
		}
		secret = secret.DeepCopy()
		secret.Data = b.data(now)
		if absent {
			_, err = secrets.Create(ctx, secret, metav1.CreateOptions{})
		} else {
			_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
		}
		switch {
		case apierrors.IsAlreadyExists(err), apierrors.IsConflict(err), !absent && apierrors.IsNotFound(err):
			continue
		case err != nil:
			return bundle{}, time.Time{}, fmt.Errorf("writing secret %s: %w", key, err)
		}
		m.opts.Log.Info("serving certificate changed", "secret", key, "action", d.action, "why", d.why)
		return b, m.policy.decide(b, now).again, nil
	}
	return bundle{}, time.Time{}, fmt.Errorf("secret %s kept changing while it was being updated", key)
}

// serve takes a pair into use.
func (m *Manager) serve(p *pair) error {
	if old := m.current.Load(); old != nil && old.pair.leaf.Equal(p.leaf) {
		return nil
	}
	cert, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		return fmt.Errorf("loading the serving certificate: %w", err)
	}
	m.current.Store(&served{tls: cert, pair: p})
	m.mu.Lock()
	fs := slices.Clone(m.onChange)
	m.mu.Unlock()
	for _, f := range fs {
		f()
	}
	return nil
}
