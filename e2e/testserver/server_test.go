package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/rawserve/rawserve/e2e/testserver/oip"
)

// running is a server at work.
type running struct {
	*server
	url, grpc string
	// stop tells it to end and returns what Run returned.
	stop func() error
	// ended yields the same where the server ends by itself.
	ended chan error
}

// start runs a server with these flags on free ports of the loopback device.
func start(t *testing.T, flags ...string) *running {
	t.Helper()
	args := append([]string{"--addr=127.0.0.1:0", "--grpc-addr=127.0.0.1:0"}, flags...)
	set, err := parseSettings(args, func(string) (string, bool) { return "", false }, io.Discard)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{server: newServer(set, slog.New(slog.DiscardHandler)), ended: make(chan error, 1)}
	listening := make(chan addresses, 1)
	go func() { r.ended <- r.Run(ctx, func(a addresses) { listening <- a }) }()
	var once sync.Once
	var result error
	r.stop = func() error {
		once.Do(func() { cancel(); result = <-r.ended })
		return result
	}
	select {
	case a := <-listening:
		r.url, r.grpc = "http://"+a.http, a.grpc
	case err := <-r.ended:
		t.Fatalf("the server ended: %v", err)
	}
	t.Cleanup(func() { cancel() })
	return r
}

// client speaks HTTP/1.1, or cleartext HTTP/2 only.
func client(t *testing.T, h2c bool) *http.Client {
	t.Helper()
	var p http.Protocols
	p.SetHTTP1(!h2c)
	p.SetUnencryptedHTTP2(h2c)
	tr := &http.Transport{Protocols: &p}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func (r *running) do(t *testing.T, c *http.Client, method, path, body string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequest(method, r.url+path, strings.NewReader(body))
	require.NoError(t, err)
	resp, err := c.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, strings.TrimSpace(string(got)), resp.Header
}

func (r *running) rpc(t *testing.T, addr string) oip.GRPCInferenceServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return oip.NewGRPCInferenceServiceClient(conn)
}

func TestBothProtocolsAnswerOverBothVersionsOfHTTP(t *testing.T) {
	r := start(t)
	for _, h2c := range []bool{false, true} {
		c := client(t, h2c)
		for name, want := range map[string]struct {
			method, path, body string
			status             int
			answer             string
		}{
			"the root":                     {"GET", "/", "", 200, `{"live":true,"status":"alive"}`},
			"V1 list":                      {"GET", "/v1/models", "", 200, `{"models":["model"]}`},
			"V1 model":                     {"GET", "/v1/models/model", "", 200, `{"name":"model","ready":true}`},
			"V1 unknown model":             {"GET", "/v1/models/other", "", 404, `{"error":"model \"other\" does not exist; this server has \"model\""}`},
			"V1 predict":                   {"POST", "/v1/models/model:predict", `{"instances":[[1,2],"a"]}`, 200, `{"predictions":[[1,2],"a"]}`},
			"V1 predict without list":      {"POST", "/v1/models/model:predict", `{}`, 400, `{"error":"the body has no list \"instances\""}`},
			"V1 predict other model":       {"POST", "/v1/models/other:predict", `{"instances":[]}`, 404, `{"error":"model \"other\" does not exist; this server has \"model\""}`},
			"V1 unknown verb":              {"POST", "/v1/models/model:train", `{}`, 404, `{"error":"want a path that ends in \":predict\" or \":explain\""}`},
			"V2 metadata":                  {"GET", "/v2", "", 200, `{"extensions":[],"name":"rawserve-testserver","version":"1"}`},
			"V2 live":                      {"GET", "/v2/health/live", "", 200, `{"live":true,"status":"alive"}`},
			"V2 ready":                     {"GET", "/v2/health/ready", "", 200, `{"ready":true}`},
			"V2 model":                     {"GET", "/v2/models/model", "", 200, `{"inputs":[],"name":"model","outputs":[],"platform":"echo","versions":["1"]}`},
			"V2 model ready":               {"GET", "/v2/models/model/versions/1/ready", "", 200, `{"name":"model","ready":true}`},
			"V2 infer":                     {"POST", "/v2/models/model/infer", `{"id":"7","inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1.5,2]}]}`, 200, `{"model_name":"model","id":"7","outputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1.5,2]}]}`},
			"V2 infer without inputs":      {"POST", "/v2/models/model/infer", `{"inputs":[]}`, 400, `{"error":"the body has no list \"inputs\""}`},
			"V2 infer that is not JSON":    {"POST", "/v2/models/model/infer", `{`, 400, `{"error":"the body is not JSON with inputs: unexpected end of JSON input"}`},
			"a delay that is no number":    {"POST", "/v2/models/model/infer?delay=soon", `{}`, 400, `{"error":"delay must be a duration such as 200ms, not \"soon\""}`},
			"a stream of too many":         {"GET", "/stream?n=9999999999", "", 400, `{"error":"n must be a number from 0 to 1000000, not \"9999999999\""}`},
			"a stream without an interval": {"GET", "/stream?interval=x", "", 400, `{"error":"interval must be a duration such as 50ms, not \"x\""}`},
		} {
			t.Run(name+map[bool]string{false: " over HTTP/1.1", true: " over h2c"}[h2c], func(t *testing.T) {
				code, answer, header := r.do(t, c, want.method, want.path, want.body)
				require.Equal(t, want.status, code)
				require.Equal(t, want.answer, answer)
				require.NotEmpty(t, header.Get(nameHeader))
				at, err := strconv.ParseInt(header.Get(startedHeader), 10, 64)
				require.NoError(t, err)
				require.InDelta(t, time.Now().UnixNano(), at, float64(time.Minute))
			})
		}
	}
	require.NoError(t, r.stop())
}

func TestExecutionsAreCountedAndReset(t *testing.T) {
	r := start(t)
	c := client(t, false)
	r.do(t, c, "POST", "/v1/models/model:predict", `{"instances":[1]}`)
	r.do(t, c, "POST", "/v1/models/model:predict", `{"instances":[1]}`)
	r.do(t, c, "POST", "/v2/models/model/infer", `{"inputs":[]}`)
	r.do(t, c, "POST", "/echo", "not counted")
	r.do(t, c, "GET", "/v2/health/ready", "")
	_, body, _ := r.do(t, c, "GET", "/stats", "")
	var got Stats
	require.NoError(t, json.Unmarshal([]byte(body), &got))
	require.NotZero(t, got.StartedAt)
	got.StartedAt = 0
	require.Equal(t, Stats{
		Executed: 3, Completed: 2, Failed: 1, MaxInflight: 1, BodyBytes: 17 + 17 + 13,
		ByPath: map[string]int64{"/v1/models/model:predict": 2, "/v2/models/model/infer": 1},
	}, got)
	code, _, _ := r.do(t, c, "POST", "/stats/reset", "")
	require.Equal(t, http.StatusNoContent, code)
	require.Zero(t, r.count.snapshot().Executed)
	require.Empty(t, r.count.snapshot().ByPath)
	require.NotZero(t, r.count.snapshot().StartedAt)
}

func TestThePathsThatAreCountedAreBounded(t *testing.T) {
	var c counter
	for i := range 2 * maxPaths {
		c.enter(strconv.Itoa(i))
	}
	got := c.snapshot()
	require.Len(t, got.ByPath, maxPaths+1)
	require.EqualValues(t, maxPaths, got.ByPath[otherPaths])
	require.EqualValues(t, 2*maxPaths, got.MaxInflight)
}

func TestAnAbandonedRequestIsSeenAsSuch(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		r := start(t, "--delay=1h")
		ctx, cancel := context.WithCancel(context.Background())
		req, err := http.NewRequestWithContext(ctx, "POST", r.url+"/v1/models/model:predict", strings.NewReader(`{"instances":[1]}`))
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() {
			resp, err := client(t, h2c).Do(req)
			if err == nil {
				resp.Body.Close()
			}
			done <- err
		}()
		require.Eventually(t, func() bool { return r.count.snapshot().Inflight == 1 }, 10*time.Second, time.Millisecond)
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		require.Eventually(t, func() bool { return r.count.snapshot().Abandoned == 1 }, 10*time.Second, time.Millisecond)
		got := r.count.snapshot()
		require.EqualValues(t, 1, got.Executed)
		require.Zero(t, got.Completed)
		require.Zero(t, got.Inflight)
	}
}

func TestARequestMayChooseItsOwnDelay(t *testing.T) {
	r := start(t, "--delay=1h")
	code, _, _ := r.do(t, client(t, false), "POST", "/v1/models/model:predict?delay=0s", `{"instances":[1]}`)
	require.Equal(t, 200, code)
	req, err := http.NewRequest("POST", r.url+"/v1/models/model:predict", strings.NewReader(`{"instances":[1]}`))
	require.NoError(t, err)
	req.Header.Set("X-Delay", "1ms")
	resp, err := client(t, true).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 200, resp.StatusCode)
}

func TestEveryThirdExecutionFails(t *testing.T) {
	r := start(t, "--fail-every=3", "--fail-status=503")
	var got []int
	for range 6 {
		code, _, _ := r.do(t, client(t, false), "POST", "/v1/models/model:predict", `{"instances":[1]}`)
		got = append(got, code)
	}
	require.Equal(t, []int{200, 200, 503, 200, 200, 503}, got)
	_, err := r.rpc(t, r.grpc).ModelInfer(t.Context(), inferOf("a"))
	require.NoError(t, err)
	_, err = r.rpc(t, r.grpc).ModelInfer(t.Context(), inferOf("a"))
	require.NoError(t, err)
	_, err = r.rpc(t, r.grpc).ModelInfer(t.Context(), inferOf("a"))
	require.Equal(t, codes.Unavailable, status.Code(err))
}

func TestAServerThatLoadsListensAndIsNotReady(t *testing.T) {
	r := start(t, "--load-delay=1h")
	c := client(t, false)
	for path, want := range map[string]int{"/v2/health/live": 200, "/v2/health/ready": 503, "/v1/models/model": 503, "/v2/models/model/ready": 503, "/v2/models/model": 200} {
		code, _, _ := r.do(t, c, "GET", path, "")
		require.Equal(t, want, code, path)
	}
	_, err := r.rpc(t, r.grpc).ModelInfer(t.Context(), inferOf("a"))
	require.Equal(t, codes.Unavailable, status.Code(err))
	ready, err := r.rpc(t, r.grpc).ServerReady(t.Context(), &oip.ServerReadyRequest{})
	require.NoError(t, err)
	require.False(t, ready.Ready)
	require.Zero(t, r.count.snapshot().Executed)
}

func TestStreamsArriveEventByEvent(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		r := start(t)
		resp, err := client(t, h2c).Post(r.url+"/stream?n=3&interval=1ms", "application/json", strings.NewReader(`{"stream":true}`))
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "data: 0\n\ndata: 1\n\ndata: 2\n\n", string(body))

		_, stamped, _ := r.do(t, client(t, h2c), "GET", "/stream?n=1&stamp=true", "")
		var sent int64
		_, err = fmt.Sscanf(stamped, "data: 0 %d", &sent)
		require.NoError(t, err)
		require.InDelta(t, time.Now().UnixNano(), sent, float64(time.Minute))

		// The first line is here although the second takes an hour.
		ctx, cancel := context.WithCancel(context.Background())
		req, err := http.NewRequestWithContext(ctx, "GET", r.url+"/stream?n=2&interval=1h&format=chunk", nil)
		require.NoError(t, err)
		resp, err = client(t, h2c).Do(req)
		require.NoError(t, err)
		line, err := bufio.NewReader(resp.Body).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "0\n", line)
		cancel()
		resp.Body.Close()
		require.Eventually(t, func() bool { return r.count.snapshot().Abandoned == 1 }, 10*time.Second, time.Millisecond)
	}
}

func TestEchoTellsWhatArrived(t *testing.T) {
	r := start(t)
	req, err := http.NewRequest("PUT", r.url+"/echo?a=b", bytes.NewReader(make([]byte, 100_000)))
	require.NoError(t, err)
	req.Header.Set("X-Mine", "yes")
	req.Host = "model.example"
	resp, err := client(t, true).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var got echoed
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&got))
	require.Equal(t, "yes", got.Headers.Get("X-Mine"))
	got.Headers, got.RemoteAddr = nil, ""
	require.Equal(t, echoed{Method: "PUT", Path: "/echo", Query: "a=b", Proto: "HTTP/2.0", Host: "model.example", BodyBytes: 100_000}, got)
}

func TestRequestsInFlightAreFinishedAtTheEnd(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		r := start(t)
		type result struct {
			code int
			err  error
		}
		got := make(chan result, 1)
		go func() {
			resp, err := client(t, h2c).Post(r.url+"/v1/models/model:predict?delay=300ms", "application/json", strings.NewReader(`{"instances":[1]}`))
			if err != nil {
				got <- result{err: err}
				return
			}
			resp.Body.Close()
			got <- result{code: resp.StatusCode}
		}()
		require.Eventually(t, func() bool { return r.count.snapshot().Inflight == 1 }, 10*time.Second, time.Millisecond)
		require.NoError(t, r.stop())
		require.Equal(t, result{code: 200}, <-got)
		_, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		require.Error(t, err, "nobody listens any more")
	}
}

func TestTheServerEndsWithAnErrorOnDemand(t *testing.T) {
	r := start(t, "--exit-after=1ms")
	require.ErrorContains(t, <-r.ended, "--exit-after")

	r = start(t, "--exit-after-requests=2")
	c := client(t, false)
	code, _, _ := r.do(t, c, "POST", "/v1/models/model:predict", `{"instances":[1]}`)
	require.Equal(t, 200, code)
	resp, err := c.Post(r.url+"/v1/models/model:predict", "application/json", strings.NewReader(`{"instances":[1]}`))
	if err == nil {
		resp.Body.Close()
	}
	require.Error(t, err, "the connection is cut in the middle of the execution")
	require.ErrorContains(t, <-r.ended, "--exit-after-requests")

	var stderr bytes.Buffer
	none := func(string) (string, bool) { return "", false }
	require.Equal(t, 1, run(t.Context(), []string{"--crash", "--startup-delay=1ms"}, none, &stderr))
	require.Contains(t, stderr.String(), "--crash")
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	require.Equal(t, 0, run(stopped, []string{"--startup-delay=1h"}, none, &stderr), "told to stop while starting")
}

func TestAWebSocketIsEchoedAndClosedNormallyAtTheEnd(t *testing.T) {
	r := start(t)
	conn, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(r.url, "http")+"/ws", nil)
	require.NoError(t, err)
	defer conn.Close()
	require.NotEmpty(t, resp.Header.Get(nameHeader))
	for kind, message := range map[int]string{websocket.TextMessage: "hello", websocket.BinaryMessage: "\x00\x01"} {
		require.NoError(t, conn.WriteMessage(kind, []byte(message)))
		gotKind, got, err := conn.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, kind, gotKind)
		require.Equal(t, message, string(got))
	}
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	_, _, err = conn.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseGoingAway), "%v", err)
	require.NoError(t, <-stopped)
	require.EqualValues(t, 1, r.count.snapshot().Completed)
}

func TestALedgerCountsTheExecutionsOfAllServersByRequest(t *testing.T) {
	books := start(t)
	a, b := start(t, "--ledger="+books.url), start(t, "--ledger="+books.url)
	infer := func(r *running, id string) {
		t.Helper()
		req, err := http.NewRequest("POST", r.url+"/v2/models/model/infer", strings.NewReader(`{"inputs":[{"name":"x"}]}`))
		require.NoError(t, err)
		if id != "" {
			req.Header.Set(requestID, id)
		}
		resp, err := client(t, false).Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, 200, resp.StatusCode)
	}
	infer(a, "h/1")
	infer(a, "h/2")
	infer(b, "h/2")
	infer(b, "")
	_, err := a.rpc(t, a.grpc).ModelInfer(t.Context(), inferOf("a")) // its id is 7
	require.NoError(t, err)
	stream, err := b.rpc(t, b.grpc).ModelStreamInfer(t.Context())
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, stream.Send(inferOf("a")))
		_, err = stream.Recv()
		require.NoError(t, err)
	}
	_, body, _ := books.do(t, client(t, false), "GET", "/ledger", "")
	require.JSONEq(t, `{"executed":6,"distinct":3,"repeated":{"h/2":2,"7":3}}`, body)

	// What cannot be entered is not executed.
	require.NoError(t, books.stop())
	_, err = a.rpc(t, a.grpc).ModelInfer(t.Context(), inferOf("a"))
	require.Equal(t, codes.Internal, status.Code(err))
}

func TestALedgerIsBounded(t *testing.T) {
	l := ledger{counts: map[string]int64{}}
	for i := range maxEntries {
		l.counts[strconv.Itoa(i)] = 1
	}
	require.False(t, l.enter("one more"))
	require.True(t, l.enter("7"))
	require.Equal(t, map[string]int64{"7": 2}, l.entries().Repeated)
}
