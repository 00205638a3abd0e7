package storage

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rawserve/rawserve/agent/storage/download"
	"github.com/rawserve/rawserve/agent/storage/pattern"
)

// Settings come from the init container's environment: a ClusterStorageContainer or a
// secret of the service account sets them.
type Settings struct {
	// Patterns choose among the files of archives and folders; a single file is always
	// fetched. STORAGE_ALLOW_PATTERNS and STORAGE_IGNORE_PATTERNS.
	Patterns pattern.Set
	// MaxBytes bounds each download and, separately, what is unpacked from it. 1 TiB
	// by default, 0 is no bound. STORAGE_MAX_BYTES.
	MaxBytes int64
	// Attempts bounds the failures in a row without progress; 8 by default, which with
	// the backoff is about two minutes. STORAGE_ATTEMPTS.
	Attempts int
	// IdleTimeout bounds the wait for the next byte; one minute by default.
	// STORAGE_IDLE_TIMEOUT.
	IdleTimeout time.Duration
	// Authorities is a file of certificates that are trusted besides the system's, ""
	// for none. It is cabundle.crt in KServe's CA_BUNDLE_VOLUME_MOUNT_POINT.
	Authorities string
	// HostHeaders holds the JSON object of headers for a host, by the host's name.
	// KServe puts secrets with https-host and headers into variables <host>-headers.
	HostHeaders map[string]string
}

// DefaultSettings are the settings for an empty environment.
func DefaultSettings() Settings {
	return Settings{MaxBytes: 1 << 40, Attempts: 8, IdleTimeout: time.Minute}
}

// headersSuffix ends the variables with headers for a host.
const headersSuffix = "-headers"

// SettingsFromEnv reads "name=value" entries as of os.Environ. It reports all errors.
func SettingsFromEnv(environ []string) (Settings, error) {
	s := DefaultSettings()
	var errs []error
	check := func(name string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		var err error
		switch {
		case value == "":
		case name == "STORAGE_ALLOW_PATTERNS":
			s.Patterns.Allow, err = pattern.ParseList(value)
		case name == "STORAGE_IGNORE_PATTERNS":
			s.Patterns.Ignore, err = pattern.ParseList(value)
		case name == "STORAGE_MAX_BYTES":
			s.MaxBytes, err = parseCount(value, 0)
		case name == "STORAGE_ATTEMPTS":
			var n int64
			n, err = parseCount(value, 1)
			s.Attempts = int(n)
		case name == "STORAGE_IDLE_TIMEOUT":
			s.IdleTimeout, err = parseTimeout(value)
		case name == "CA_BUNDLE_VOLUME_MOUNT_POINT":
			s.Authorities = filepath.Join(value, "cabundle.crt")
		case strings.HasSuffix(name, headersSuffix):
			if s.HostHeaders == nil {
				s.HostHeaders = map[string]string{}
			}
			s.HostHeaders[strings.ToLower(strings.TrimSuffix(name, headersSuffix))] = value
		}
		check(name, err)
	}
	return s, errors.Join(errs...)
}

func parseCount(value string, least int64) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < least {
		return 0, fmt.Errorf("want a whole number from %d on, not %q", least, value)
	}
	return n, nil
}

func parseTimeout(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("want a positive duration such as 30s, not %q", value)
	}
	return d, nil
}

// headersFor reads the headers for a host. Its errors show no value.
func (s Settings) headersFor(host string) (http.Header, error) {
	raw, ok := s.HostHeaders[strings.ToLower(host)]
	if !ok {
		return nil, nil
	}
	var object map[string]string
	if err := json.Unmarshal([]byte(raw), &object); err != nil {
		return nil, fmt.Errorf(`the variable %s%s (the secret for this https-host) must be a JSON object of header names and string values, such as {"Authorization": "Bearer …"}`, host, headersSuffix)
	}
	header := http.Header{}
	for name, value := range object {
		header.Set(name, value)
	}
	return header, nil
}

// roots are the certificate authorities to trust; nil is the system's.
func (s Settings) roots() (*x509.CertPool, error) {
	if s.Authorities == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(s.Authorities)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate bundle of CA_BUNDLE_VOLUME_MOUNT_POINT: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // an image without certificates of its own
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the certificate bundle %s holds no certificate in PEM form", s.Authorities)
	}
	return pool, nil
}

func (s Settings) downloadOptions(transport http.RoundTripper, log *slog.Logger, clock download.Clock) download.Options {
	return download.Options{
		Transport: transport, Log: log, Clock: clock,
		Attempts: s.Attempts, Backoff: time.Second, MaxBackoff: 30 * time.Second,
		Idle: s.IdleTimeout, MaxBytes: s.MaxBytes, ProgressEvery: 5 * time.Second,
	}
}

// digest covers what decides about the files that a source yields.
func (s Settings) digest() string {
	parts := append([]string{"allow"}, s.Patterns.Allow...)
	parts = append(append(parts, "ignore"), s.Patterns.Ignore...)
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}
