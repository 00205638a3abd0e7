//go:build !linux

package apiservertest

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }
