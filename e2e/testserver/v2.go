package main

import (
	"encoding/json"
	"net/http"
)

// serverName and serverVersion are the server's metadata.
const (
	serverName    = "rawserve-testserver"
	serverVersion = "1"
)

// tensor is an input or output of the V2 protocol.
type tensor struct {
	Name       string          `json:"name"`
	Shape      []int64         `json:"shape"`
	Datatype   string          `json:"datatype"`
	Parameters json.RawMessage `json:"parameters,omitempty"`
	Data       json.RawMessage `json:"data"`
}

// inferRequest and inferResponse are the bodies of V2's infer.
type inferRequest struct {
	ID     string   `json:"id"`
	Inputs []tensor `json:"inputs"`
}

type inferResponse struct {
	ModelName    string   `json:"model_name"`
	ModelVersion string   `json:"model_version,omitempty"`
	ID           string   `json:"id,omitempty"`
	Outputs      []tensor `json:"outputs"`
}

// routeV2 serves the V2 protocol. The outputs are the inputs.
func (s *server) routeV2(mux *http.ServeMux) {
	mux.HandleFunc("GET /v2", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"name": serverName, "version": serverVersion, "extensions": []string{}})
	})
	mux.HandleFunc("GET /v2/health/live", s.live)
	mux.HandleFunc("GET /v2/health/ready", func(w http.ResponseWriter, _ *http.Request) {
		ready, status := s.ready.Load(), http.StatusOK
		if !ready {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, map[string]bool{"ready": ready})
	})
	mux.HandleFunc("GET /v2/models", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string][]string{"models": {s.set.ModelName}})
	})
	for _, base := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		mux.HandleFunc("GET "+base, s.metadataV2)
		mux.HandleFunc("GET "+base+"/ready", s.readyV2)
		mux.HandleFunc("POST "+base+"/infer", s.inferV2)
	}
}

// live answers as soon as there is somebody to answer.
func (s *server) live(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"live": true, "status": "alive"})
}

func (s *server) metadataV2(w http.ResponseWriter, r *http.Request) {
	model := r.PathValue("model")
	if !s.knows(model) {
		s.admit(w, model)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"name": model, "versions": []string{serverVersion}, "platform": "echo", "inputs": []tensor{}, "outputs": []tensor{},
	})
}

func (s *server) readyV2(w http.ResponseWriter, r *http.Request) {
	if model := r.PathValue("model"); s.admit(w, model) {
		writeJSON(w, http.StatusOK, map[string]any{"name": model, "ready": true})
	}
}

func (s *server) inferV2(w http.ResponseWriter, r *http.Request) {
	model := r.PathValue("model")
	if !s.admit(w, model) {
		return
	}
	s.executeHTTP(w, r, func(body []byte) (any, error) {
		if r.Header.Get("Inference-Header-Content-Length") != "" {
			return nil, badRequest("the binary tensor extension is not supported; send JSON")
		}
		var in inferRequest
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, badRequest("the body is not JSON with inputs: %v", err)
		}
		if len(in.Inputs) == 0 {
			return nil, badRequest(`the body has no list "inputs"`)
		}
		return inferResponse{ModelName: model, ModelVersion: r.PathValue("version"), ID: in.ID, Outputs: in.Inputs}, nil
	})
}
