package main

import (
	"encoding/json"
	"net/http"
	"strings"
)

// routeV1 serves the V1 protocol. A prediction is its instance, so that a test sees
// whose answer it got.
func (s *server) routeV1(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string][]string{"models": {s.set.ModelName}})
	})
	mux.HandleFunc("GET /v1/models/{model}", func(w http.ResponseWriter, r *http.Request) {
		if model := r.PathValue("model"); s.admit(w, model) {
			writeJSON(w, http.StatusOK, map[string]any{"name": model, "ready": true})
		}
	})
	mux.HandleFunc("POST /v1/models/{call}", s.predictV1)
}

// predictV1 serves ":predict" and ":explain".
func (s *server) predictV1(w http.ResponseWriter, r *http.Request) {
	model, verb, _ := strings.Cut(r.PathValue("call"), ":")
	if verb != "predict" && verb != "explain" {
		writeError(w, http.StatusNotFound, `want a path that ends in ":predict" or ":explain"`)
		return
	}
	if !s.admit(w, model) {
		return
	}
	s.executeHTTP(w, r, func(body []byte) (any, error) {
		var in struct {
			Instances []json.RawMessage `json:"instances"`
		}
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, badRequest("the body is not JSON with instances: %v", err)
		}
		if in.Instances == nil {
			return nil, badRequest(`the body has no list "instances"`)
		}
		return map[string]any{"predictions": in.Instances}, nil
	})
}
