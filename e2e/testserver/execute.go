package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// maxBody bounds a request's body: the whole of it is kept while it is echoed.
const maxBody = 64 << 20

// errFail is an execution that fails because --fail-every asks for it.
var errFail = errors.New("failing, as --fail-every asks")

// errLeft is an execution whose client has left.
var errLeft = errors.New("the client has left")

// requestError is a request that cannot be executed.
type requestError struct {
	status  int
	message string
}

func (e requestError) Error() string { return e.message }

func badRequest(format string, args ...any) error {
	return requestError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// execute counts one execution around work and takes the time that is asked for. It is
// the one way to a prediction, whatever the protocol.
func (s *server) execute(ctx context.Context, path string, delay time.Duration, work func() error) (err error) {
	index := s.count.enter(path)
	defer func() {
		switch {
		case err == nil:
			s.count.leave(completed)
		case errors.Is(err, errLeft):
			s.count.leave(abandoned)
		default:
			s.count.leave(failed)
		}
	}()
	if s.set.ExitAfterRequests > 0 && index >= s.set.ExitAfterRequests {
		select {
		case s.crash <- errors.New("exiting, as --exit-after-requests asks"):
		default: // somebody else did it
		}
		<-ctx.Done() // the end of the server cuts the connection
		return errLeft
	}
	if err := work(); err != nil {
		return err
	}
	if pause(ctx, delay) != nil {
		return errLeft
	}
	if s.set.FailEvery > 0 && index%s.set.FailEvery == 0 {
		return errFail
	}
	return nil
}

// executeHTTP executes a request of HTTP: it reads the body, hands it to predict and
// writes what that returns.
func (s *server) executeHTTP(w http.ResponseWriter, r *http.Request, predict func(body []byte) (any, error)) {
	delay, err := s.delayOf(r)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	var answer any
	err = s.execute(r.Context(), r.URL.Path, delay, func() error {
		if err := s.record(r.Context(), r.Header.Get(requestID)); err != nil {
			return requestError{http.StatusInternalServerError, err.Error()}
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		s.count.body(int64(len(body)))
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return requestError{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", large.Limit)}
		}
		if err != nil {
			return errors.Join(errLeft, err)
		}
		answer, err = predict(body)
		return err
	})
	var wrong requestError
	switch {
	case err == nil:
		writeJSON(w, http.StatusOK, answer)
	case errors.As(err, &wrong):
		writeError(w, wrong.status, wrong.message)
	case errors.Is(err, errFail):
		writeError(w, s.set.FailStatus, err.Error())
	default:
		panic(http.ErrAbortHandler) // nobody is there to be answered
	}
}

// delayOf is the time a request asks for, or the setting's.
func (s *server) delayOf(r *http.Request) (time.Duration, error) {
	value := r.URL.Query().Get("delay")
	if value == "" {
		value = r.Header.Get("X-Delay")
	}
	return s.parseDelay(value)
}

func (s *server) parseDelay(value string) (time.Duration, error) {
	if value == "" {
		return s.set.Delay, nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("delay must be a duration such as 200ms, not %q", value)
	}
	return d, nil
}

// knows reports whether a model of this name is served.
func (s *server) knows(model string) bool {
	return s.set.ModelName == "*" || model == s.set.ModelName
}

// admit answers requests for unknown models and requests before the server is ready.
func (s *server) admit(w http.ResponseWriter, model string) bool {
	switch {
	case !s.knows(model):
		writeError(w, http.StatusNotFound, fmt.Sprintf("model %q does not exist; this server has %q", model, s.set.ModelName))
	case !s.ready.Load():
		writeError(w, http.StatusServiceUnavailable, fmt.Sprintf("model %q is not ready", model))
	default:
		return true
	}
	return false
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An error here is the client's leaving; it is noticed where that matters.
	_ = json.NewEncoder(w).Encode(v)
}

func writeError(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]string{"error": message})
}
