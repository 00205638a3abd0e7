//go:build !linux

package storage

import "errors"

func getAttribute(_, _ string) (string, error) { return "", errors.ErrUnsupported }

func setAttribute(_, _, _ string) error { return errors.ErrUnsupported }
