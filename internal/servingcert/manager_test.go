package servingcert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"
)

// board keeps what was published last.
type board struct {
	mu  sync.Mutex
	ca  []byte
	err error
}

func (b *board) publish(_ context.Context, ca []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	b.ca = ca
	return nil
}

func (b *board) read() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ca
}

func manager(t *testing.T, client kubernetes.Interface, b *board, edit func(*Options)) *Manager {
	t.Helper()
	o := Options{
		Client: client, Namespace: "rawserve-system", SecretName: "metrics-adapter-cert",
		DNSNames: names, Publish: b.publish, Log: slog.New(slog.DiscardHandler),
	}
	if edit != nil {
		edit(&o)
	}
	m, err := New(o)
	require.NoError(t, err)
	return m
}

// shake makes a TLS connection to a manager's server, trusting what is on the board.
func shake(t *testing.T, m *Manager, b *board, now time.Time) error {
	t.Helper()
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(b.read()))
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	done := make(chan error, 1)
	go func() { done <- tls.Server(far, &tls.Config{GetCertificate: m.GetCertificate}).Handshake() }()
	err := tls.Client(near, &tls.Config{RootCAs: roots, ServerName: names[0], Time: func() time.Time { return now }}).Handshake()
	near.Close()
	<-done
	return err
}

func TestCertificateIsMadeServedAndRotatedWithoutAFailedHandshake(t *testing.T) {
	clock := clocktesting.NewFakeClock(start)
	client, b := fake.NewClientset(), &board{}
	m := manager(t, client, b, func(o *Options) { o.Clock = clock; o.Labels = map[string]string{"app.kubernetes.io/name": "rawserve"} })
	require.ErrorIs(t, m.Ready(), ErrNone)
	_, err := m.GetCertificate(nil)
	require.ErrorIs(t, err, ErrNone)
	changes := 0
	m.OnChange(func() { changes++ })

	again, err := m.Sync(t.Context())
	require.NoError(t, err)
	require.Equal(t, start.Add(60*day), again)
	require.NoError(t, m.Ready())
	require.NoError(t, shake(t, m, b, clock.Now()))
	secret, err := client.CoreV1().Secrets("rawserve-system").Get(t.Context(), "metrics-adapter-cert", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"app.kubernetes.io/name": "rawserve"}, secret.Labels)
	for range 6 { // renew, promote; three times
		clock.SetTime(again)
		again, err = m.Sync(t.Context())
		require.NoError(t, err)
		require.True(t, again.After(clock.Now()))
		require.NoError(t, shake(t, m, b, clock.Now()))
	}
	require.Equal(t, 4, changes)

	clock.SetTime(again.Add(100 * day)) // nobody looked for too long
	require.ErrorContains(t, m.Ready(), "ended at")
	_, err = m.Sync(t.Context())
	require.NoError(t, err)
	require.NoError(t, shake(t, m, b, clock.Now()))
}

func TestReplicasThatStartTogetherAgree(t *testing.T) {
	client := fake.NewClientset()
	boards := make([]board, 8)
	managers := make([]*Manager, len(boards))
	var wg sync.WaitGroup
	for i := range boards {
		managers[i] = manager(t, client, &boards[i], nil)
		wg.Go(func() { _, _ = managers[i].Sync(t.Context()) })
	}
	wg.Wait()
	for i := range boards {
		require.NoError(t, managers[i].Ready())
		require.Equal(t, boards[0].ca, boards[i].ca)
		require.NoError(t, shake(t, managers[i], &boards[(i+1)%len(boards)], time.Now()))
	}
}

func TestReplicaThatLosesTheRaceToRenewTakesTheWinnersCertificate(t *testing.T) {
	clock := clocktesting.NewFakeClock(start)
	client, b := fake.NewClientset(), &board{}
	loser := manager(t, client, b, func(o *Options) { o.Clock = clock })
	_, err := loser.Sync(t.Context())
	require.NoError(t, err)
	clock.SetTime(start.Add(60 * day))

	secret, err := client.CoreV1().Secrets("rawserve-system").Get(t.Context(), "metrics-adapter-cert", metav1.GetOptions{})
	require.NoError(t, err)
	before, err := parse(secret.Data)
	require.NoError(t, err)
	winners := made(t, before, stage, clock.Now())
	raced := false
	client.PrependReactor("update", "secrets", func(a ktesting.Action) (bool, runtime.Object, error) {
		if raced {
			return false, nil, nil
		}
		raced = true // the winner's update arrives just before
		secret := secret.DeepCopy()
		secret.Data = winners.data(clock.Now())
		require.NoError(t, client.Tracker().Update(a.GetResource(), secret, "rawserve-system"))
		return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, "metrics-adapter-cert", errors.New("raced"))
	})
	_, err = loser.Sync(t.Context())
	require.NoError(t, err)
	require.True(t, raced)
	kept, err := client.CoreV1().Secrets("rawserve-system").Get(t.Context(), "metrics-adapter-cert", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, winners.data(clock.Now()), kept.Data, "one renewal, not two")
	require.Equal(t, kept.Data[keyCA], b.read())
}

func TestFailureToPublishIsReportedAndTheCertificateServed(t *testing.T) {
	b := &board{err: errors.New("no way through")}
	m := manager(t, fake.NewClientset(), b, nil)
	_, err := m.Sync(t.Context())
	require.ErrorContains(t, err, "publishing the CA of the serving certificate: no way through")
	require.NoError(t, m.Ready())
}

func TestRunFollowsTheSecretAndRenewsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, b := fake.NewClientset(), &board{}
		m := manager(t, client, b, func(o *Options) { o.Validity, o.RenewBefore, o.Overlap = 9*time.Hour, 3*time.Hour, 30*time.Minute })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()
		synctest.Wait()
		first, _ := m.PEM()
		require.NotEmpty(t, first)

		// Somebody deletes the Secret: a new one is made at once.
		require.NoError(t, client.CoreV1().Secrets("rawserve-system").Delete(ctx, "metrics-adapter-cert", metav1.DeleteOptions{}))
		synctest.Wait()
		second, _ := m.PEM()
		require.NotEqual(t, first, second)

		// Somebody else renews it: taken over at once.
		other, err := m.policy.apply(bundle{}, replace, time.Now())
		require.NoError(t, err)
		_, err = client.CoreV1().Secrets("rawserve-system").Update(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "rawserve-system", Name: "metrics-adapter-cert"}, Data: other.data(time.Now()),
		}, metav1.UpdateOptions{})
		require.NoError(t, err)
		synctest.Wait()
		third, _ := m.PEM()
		require.Equal(t, other.cur.cert, third)

		// The API server cannot be reached for a while; then time passes until the renewal.
		b.mu.Lock()
		b.err = errors.New("no way through")
		b.mu.Unlock()
		time.Sleep(10 * time.Minute)
		b.mu.Lock()
		b.err = nil
		b.mu.Unlock()
		time.Sleep(7 * time.Hour)
		synctest.Wait()
		fourth, _ := m.PEM()
		require.NotEqual(t, third, fourth)
		require.NoError(t, m.Ready())
		cancel()
		require.NoError(t, <-done)
	})
}

func TestOptionsAreChecked(t *testing.T) {
	good := Options{Client: fake.NewClientset(), Namespace: "n", SecretName: "s", DNSNames: names, Publish: (&board{}).publish}
	_, err := New(good)
	require.NoError(t, err)
	for want, spoil := range map[string]func(*Options){
		"needs a client":    func(o *Options) { o.Client = nil },
		"DNS name":          func(o *Options) { o.DNSNames = nil },
		"times of":          func(o *Options) { o.Overlap = 40 * day },
		"a way to publish":  func(o *Options) { o.Publish = nil },
		"name for the secr": func(o *Options) { o.SecretName = "" },
	} {
		bad := good
		spoil(&bad)
		_, err := New(bad)
		require.ErrorContains(t, err, want)
	}
}
