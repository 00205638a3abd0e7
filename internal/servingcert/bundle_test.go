package servingcert

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const day = 24 * time.Hour

var (
	start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	names = []string{"metrics-adapter.rawserve-system.svc"}
	usual = policy{names: names, validity: 90 * day, renew: 30 * day, overlap: time.Hour}
)

func TestDecision(t *testing.T) {
	first := made(t, bundle{}, replace, start)
	staged := made(t, first, stage, start.Add(60*day))
	other := made(t, bundle{}, replace, start)
	stranger := other
	stranger.cas = first.cas
	rows := map[string]struct {
		bundle bundle
		policy policy
		now    time.Time
		want   action
		again  time.Time
	}{
		"nothing there":                       {bundle{}, usual, start, replace, start},
		"just made":                           {first, usual, start, keep, start.Add(60 * day)},
		"a moment before it is to be renewed": {first, usual, start.Add(60*day - time.Second), keep, start.Add(60 * day)},
		"to be renewed":                       {first, usual, start.Add(60 * day), stage, start.Add(60 * day)},
		"the next one's CA is not yet known everywhere": {staged, usual, start.Add(60*day + 59*time.Minute), keep, start.Add(60*day + time.Hour)},
		"the next one's CA is known":                    {staged, usual, start.Add(60*day + time.Hour), promote, start.Add(60*day + time.Hour)},
		"ended while nobody looked":                     {first, usual, start.Add(91 * day), replace, start.Add(91 * day)},
		"ended, with the next one at hand":              {staged, usual, start.Add(91 * day), promote, start.Add(91 * day)},
		"both ended":                                    {staged, usual, start.Add(200 * day), replace, start.Add(200 * day)},
		"signed by a CA that is not in the bundle":      {stranger, usual, start, replace, start},
		"another name is wanted":                        {first, policy{names: []string{"other.svc"}, validity: 90 * day, renew: 30 * day, overlap: time.Hour}, start, replace, start},
		"the clock stands before its making":            {first, usual, start.Add(-2 * day), replace, start.Add(-2 * day)},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			got := row.policy.decide(row.bundle, row.now)
			require.Equal(t, row.want, got.action, got.why)
			require.Equal(t, row.again, got.again)
		})
	}
}

// made applies an action.
func made(t *testing.T, b bundle, a action, now time.Time) bundle {
	t.Helper()
	n, err := usual.apply(b, a, now)
	require.NoError(t, err)
	return n
}

func TestClientWhoseBundleIsHalfAnHourOldAlwaysTrustsWhatIsServed(t *testing.T) {
	// The usual times with hours for days, but for the overlap.
	quick := policy{names: names, validity: 90 * time.Hour, renew: 30 * time.Hour, overlap: time.Hour}
	b, err := quick.apply(bundle{}, replace, start)
	require.NoError(t, err)
	known := b.caBundle(start) // what the client was told half an hour ago
	told := known
	served := map[string]bool{}
	most := 0
	for now := start; now.Before(start.Add(400 * time.Hour)); now = now.Add(30 * time.Minute) {
		if d := quick.decide(b, now); d.action != keep {
			require.NotEqual(t, replace, d.action, d.why)
			b, err = quick.apply(b, d.action, now)
			require.NoError(t, err)
		}
		roots := x509.NewCertPool()
		require.True(t, roots.AppendCertsFromPEM(known))
		_, err := b.cur.leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: names[0], CurrentTime: now})
		require.NoError(t, err, "at %s", now)
		served[b.cur.leaf.SerialNumber.String()] = true
		b, err = parse(b.data(now))
		require.NoError(t, err)
		most = max(most, len(b.cas))
		known, told = told, b.caBundle(now)
	}
	require.Len(t, served, 7, "400 hours, a new certificate every 61")
	require.Equal(t, 2, most, "CAs that have ended are dropped")
}

func TestDamagedSecretYieldsWhatIsLeftOfIt(t *testing.T) {
	b := made(t, made(t, bundle{}, replace, start), stage, start.Add(60*day))
	data := b.data(start.Add(60 * day))
	data[keyCert] = []byte("scratched")
	data[keyCA] = append([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), data[keyCA]...)
	got, err := parse(data)
	require.ErrorContains(t, err, "ca.crt: ")
	require.ErrorContains(t, err, "tls.crt and tls.key: ")
	require.Nil(t, got.cur)
	require.Equal(t, b.cas, got.cas)
	require.Equal(t, promote, usual.decide(got, start.Add(60*day)).action)
}

func TestCAsDoNotPileUp(t *testing.T) {
	var b bundle
	for range 20 {
		b = made(t, b, replace, start)
	}
	require.Len(t, b.cas, maxCAs)
	require.Equal(t, keep, usual.decide(b, start).action)
}

func FuzzParse(f *testing.F) {
	b, err := usual.apply(bundle{}, replace, start)
	require.NoError(f, err)
	d := b.data(start)
	f.Add(d[keyCA], d[keyCert], d[keyKey])
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), []byte("x"), []byte(nil))
	f.Fuzz(func(t *testing.T, ca, cert, key []byte) {
		b, _ := parse(map[string][]byte{keyCA: ca, keyCert: cert, keyKey: key})
		d := usual.decide(b, start)
		n := b
		if d.action != keep {
			var err error
			n, err = usual.apply(b, d.action, start)
			require.NoError(t, err)
		}
		require.Equal(t, keep, usual.decide(n, start).action)
	})
}
