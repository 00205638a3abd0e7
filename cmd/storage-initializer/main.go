// Command storage-initializer downloads models before a model server starts. It is an
// init container and takes KServe's arguments, pairs of a storage URI and a folder:
//
//	storage-initializer https://models.example/iris/model.joblib /mnt/models
//
// Settings come from the environment, see storage.Settings. It exits with 0 when all
// models are complete, 1 when a download failed, 2 when the arguments or settings are
// wrong, so that no restart will help, and 143 when it was told to stop.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/rawserve/rawserve/agent/storage"
	"github.com/rawserve/rawserve/agent/storage/download"
)

// Exit codes.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitStopped = 128 + int(syscall.SIGTERM)
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stderr))
}

// run is main with everything it touches handed in.
func run(ctx context.Context, args, environ []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("storage-initializer", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: storage-initializer [flags] URI FOLDER [URI FOLDER ...]")
		flags.PrintDefaults()
	}
	var level slog.Level
	flags.TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	termination := flags.String("termination-log", "/dev/termination-log", "an existing file to which an error is written for the pod's status")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitDone
		}
		return exitUsage
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	code, err := fetch(ctx, flags.Args(), environ, log)
	if err != nil {
		log.Error("the model is not complete", "reason", err.Error())
		if err := report(*termination, err); err != nil {
			log.Debug("the termination message could not be written", "reason", err.Error())
		}
	}
	return code
}

// fetch does the work and names the exit code.
func fetch(ctx context.Context, args, environ []string, log *slog.Logger) (int, error) {
	sources, err := storage.ParseArgs(args)
	if err != nil {
		return exitUsage, err
	}
	settings, err := storage.SettingsFromEnv(environ)
	if err != nil {
		return exitUsage, fmt.Errorf("reading the settings: %w", err)
	}
	in, err := storage.New(storage.Options{Sources: sources, Settings: settings, Log: log, Clock: download.SystemClock{}})
	if err != nil {
		return exitUsage, err
	}
	if err := in.Run(ctx); err != nil {
		if ctx.Err() != nil {
			return exitStopped, fmt.Errorf("stopped before the end: %w", err)
		}
		return exitFailed, err
	}
	return exitDone, nil
}

// maxTermination is what kubelet reads of a termination message.
const maxTermination = 4096

// report writes the error where kubelet finds it. The file is kubelet's: outside of a
// pod it does not exist and is not created.
func report(file string, err error) error {
	f, openErr := os.OpenFile(file, os.O_WRONLY|os.O_TRUNC, 0)
	if openErr != nil {
		return openErr
	}
	message := err.Error()
	if len(message) > maxTermination {
		message = message[:maxTermination]
	}
	_, writeErr := f.WriteString(message)
	if closeErr := f.Close(); writeErr == nil {
		writeErr = closeErr
	}
	return writeErr
}
