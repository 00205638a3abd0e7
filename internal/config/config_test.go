package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/internal/config"
)

type settings struct {
	Workers int    `json:"workers"`
	Domain  string `json:"domain"`
}

func (s settings) Validate() error {
	if s.Workers < 1 {
		return errors.New("workers must be at least 1")
	}
	return nil
}

func TestAFileNeedOnlySayWhatDiffers(t *testing.T) {
	defaults := settings{Workers: 4, Domain: "example.com"}
	for _, c := range []struct {
		situation, file string
		want            settings
		problem         string
	}{
		{"empty", "", defaults, ""},
		{"one field", "workers: 9", settings{9, "example.com"}, ""},
		{"a misspelt field", "worker: 9", defaults, `unknown field "worker"`},
		{"a field twice", "workers: 1\nworkers: 2", defaults, "already set"},
		{"a wrong type", "workers: many", defaults, "cannot unmarshal"},
		{"an unusable value", "workers: 0", defaults, "workers must be at least 1"},
	} {
		t.Run(c.situation, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.yaml")
			require.NoError(t, os.WriteFile(path, []byte(c.file), 0o600))
			got, err := config.Load(path, defaults)
			require.Equal(t, c.want, got)
			if c.problem == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.problem)
			}
		})
	}
}

func TestWithoutAFileTheDefaultsApply(t *testing.T) {
	got, err := config.Load("", settings{Workers: 4})
	require.NoError(t, err)
	require.Equal(t, settings{Workers: 4}, got)
	_, err = config.Load("/does/not/exist", settings{Workers: 4})
	require.ErrorIs(t, err, os.ErrNotExist)
}
