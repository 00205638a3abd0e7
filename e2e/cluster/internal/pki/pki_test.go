package pki

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func parse(t *testing.T, certificate []byte) *x509.Certificate {
	t.Helper()
	block, rest := pem.Decode(certificate)
	require.NotNil(t, block)
	require.Empty(t, rest)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	return cert
}

func TestCertificatesServeOnlyTheirPurposeAndOnlyTheirAuthority(t *testing.T) {
	authority, err := NewAuthority("ca", now)
	require.NoError(t, err)
	stranger, err := NewAuthority("ca", now)
	require.NoError(t, err)
	server, err := authority.Issue(Request{CommonName: "apiserver", Server: true, Hosts: []string{"kubernetes"}, IPs: []string{"10.96.0.1"}}, now)
	require.NoError(t, err)
	client, err := authority.Issue(Request{CommonName: "admin", Organizations: []string{"system:masters"}}, now)
	require.NoError(t, err)

	verify := func(pair Pair, by *Authority, host string, use x509.ExtKeyUsage) error {
		pool := x509.NewCertPool()
		pool.AddCert(by.cert)
		_, err := parse(t, pair.Cert).Verify(x509.VerifyOptions{
			Roots: pool, DNSName: host, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use},
		})
		return err
	}
	require.NoError(t, verify(server, authority, "kubernetes", x509.ExtKeyUsageServerAuth))
	require.NoError(t, verify(server, authority, "10.96.0.1", x509.ExtKeyUsageServerAuth))
	require.NoError(t, verify(client, authority, "", x509.ExtKeyUsageClientAuth))
	require.Error(t, verify(server, authority, "elsewhere", x509.ExtKeyUsageServerAuth))
	require.Error(t, verify(server, authority, "kubernetes", x509.ExtKeyUsageClientAuth))
	require.Error(t, verify(client, authority, "", x509.ExtKeyUsageServerAuth))
	require.Error(t, verify(client, stranger, "", x509.ExtKeyUsageClientAuth))
	require.Equal(t, []string{"system:masters"}, parse(t, client.Cert).Subject.Organization)

	_, err = tls.X509KeyPair(server.Cert, server.Key)
	require.NoError(t, err)
}

func TestCertificatesAreValidBeforeAClockThatIsBehind(t *testing.T) {
	authority, err := NewAuthority("ca", now)
	require.NoError(t, err)
	require.True(t, parse(t, authority.Cert).NotBefore.Before(now.Add(-time.Minute)))
	require.True(t, parse(t, authority.Cert).NotAfter.After(now.Add(365*24*time.Hour)))
}

func TestABadAddressIsNamed(t *testing.T) {
	authority, err := NewAuthority("ca", now)
	require.NoError(t, err)
	_, err = authority.Issue(Request{CommonName: "x", IPs: []string{"10.96.0"}}, now)
	require.EqualError(t, err, `certificate of x: "10.96.0" is no IP address`)
}

func TestAFolderMakesAPairOnceAndKeepsIt(t *testing.T) {
	folder := Folder(filepath.Join(t.TempDir(), "pki"))
	authority, err := folder.EnsureAuthority("ca", now)
	require.NoError(t, err)
	again, err := folder.EnsureAuthority("ca", now.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, authority.Pair, again.Pair)

	info, err := os.Stat(folder.KeyFile("ca"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
}

func TestAFolderInterruptedBeforeTheCertificateStartsOver(t *testing.T) {
	folder := Folder(t.TempDir())
	require.NoError(t, os.WriteFile(folder.KeyFile("service-accounts"), []byte("half"), 0o600))
	pair, err := folder.Ensure("service-accounts", SigningKey)
	require.NoError(t, err)
	key, err := os.ReadFile(folder.KeyFile("service-accounts"))
	require.NoError(t, err)
	require.Equal(t, pair.Key, key)
}

func TestAnAuthorityThatIsNoPEMIsRefused(t *testing.T) {
	_, err := LoadAuthority(Pair{Cert: []byte("x"), Key: []byte("y")})
	require.ErrorContains(t, err, "not PEM")
}
