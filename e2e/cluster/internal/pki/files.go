package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Folder keeps pairs as NAME.crt and NAME.key.
type Folder string

// CertFile is the path of a certificate.
func (f Folder) CertFile(name string) string { return filepath.Join(string(f), name+".crt") }

// KeyFile is the path of a key.
func (f Folder) KeyFile(name string) string { return filepath.Join(string(f), name+".key") }

// Ensure gives the pair of that name, made by create when it is not there. The
// key is written before the certificate, each in one step: where a certificate
// is found, its key is whole.
func (f Folder) Ensure(name string, create func() (Pair, error)) (Pair, error) {
	cert, err := os.ReadFile(f.CertFile(name))
	if err == nil {
		key, err := os.ReadFile(f.KeyFile(name))
		if err != nil {
			return Pair{}, fmt.Errorf("reading key of %s: %w", name, err)
		}
		return Pair{Cert: cert, Key: key}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return Pair{}, fmt.Errorf("reading certificate of %s: %w", name, err)
	}
	pair, err := create()
	if err != nil {
		return Pair{}, err
	}
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return Pair{}, fmt.Errorf("making folder for keys: %w", err)
	}
	if err := write(f.KeyFile(name), pair.Key); err != nil {
		return Pair{}, err
	}
	return pair, write(f.CertFile(name), pair.Cert)
}

// EnsureAuthority gives the authority of that name, made when it is not there.
func (f Folder) EnsureAuthority(name string, now time.Time) (*Authority, error) {
	pair, err := f.Ensure(name, func() (Pair, error) {
		authority, err := NewAuthority(name, now)
		if err != nil {
			return Pair{}, err
		}
		return authority.Pair, nil
	})
	if err != nil {
		return nil, err
	}
	return LoadAuthority(pair)
}

func write(file string, text []byte) error {
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		return fmt.Errorf("writing key: %w", err)
	}
	return os.Rename(file+".new", file)
}
