package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func isOpen(t *Ticket) bool {
	select {
	case <-t.Turn:
		return false
	default:
		return true
	}
}

func TestThoseBeyondTheLimitWaitInOrderUpToTheDepth(t *testing.T) {
	l := NewLimiter(1, 3)
	in, ticket := l.Enter()
	require.True(t, in)
	require.Nil(t, ticket)
	var queue []*Ticket
	for range 3 {
		in, ticket = l.Enter()
		require.False(t, in)
		require.NotNil(t, ticket)
		queue = append(queue, ticket)
	}
	in, ticket = l.Enter()
	require.False(t, in)
	require.Nil(t, ticket, "full")
	require.Equal(t, 3, l.Waiting())

	l.Cancel(queue[1])
	l.Leave()
	require.False(t, isOpen(queue[0]))
	require.True(t, isOpen(queue[2]))
	l.Cancel(queue[0]) // its turn has come at the same moment
	require.False(t, isOpen(queue[2]), "the slot goes on to the next")
	l.Leave()
	in, _ = l.Enter()
	require.True(t, in)
	require.Zero(t, l.Waiting())
}

func TestWithoutALimitEverybodyGoesIn(t *testing.T) {
	l := NewLimiter(0, 5)
	in, _ := l.Enter()
	require.True(t, in)
	l.Leave()
	require.Zero(t, l.Waiting())
}

func TestParseProbe(t *testing.T) {
	defaults := Probe{TimeoutSeconds: 1, PeriodSeconds: 10, SuccessThreshold: 1, FailureThreshold: 3}
	with := func(change func(*Probe)) *Probe {
		p := defaults
		change(&p)
		return &p
	}
	for name, c := range map[string]struct {
		text string
		want *Probe
		err  string
	}{
		"none":            {"", nil, ""},
		"a command":       {`{"exec":{"command":["true"]}}`, nil, ""},
		"http":            {`{"httpGet":{"path":"/v2/health/ready","port":8080,"scheme":"HTTP"}}`, with(func(p *Probe) { p.HTTPGet = &HTTPGet{Path: "/v2/health/ready", Port: 8080, Scheme: "http"} }), ""},
		"https, no slash": {`{"httpGet":{"path":"ok","port":8443,"scheme":"HTTPS"}}`, with(func(p *Probe) { p.HTTPGet = &HTTPGet{Path: "/ok", Port: 8443, Scheme: "https"} }), ""},
		"tcp with its own numbers": {`{"tcpSocket":{"port":9000},"periodSeconds":5,"timeoutSeconds":2,"failureThreshold":1,"successThreshold":2}`,
			&Probe{TCPSocket: &TCPSocket{Port: 9000}, TimeoutSeconds: 2, PeriodSeconds: 5, SuccessThreshold: 2, FailureThreshold: 1}, ""},
		"grpc":            {`{"grpc":{"port":8001,"service":"inference"}}`, with(func(p *Probe) { p.GRPC = &GRPC{Port: 8001, Service: "inference"} }), ""},
		"a named port":    {`{"httpGet":{"port":"http1"}}`, nil, `port: "http1" is not a number`},
		"no port":         {`{"httpGet":{"path":"/"}}`, nil, "port is missing"},
		"a port too high": {`{"tcpSocket":{"port":70000}}`, nil, "port: 70000 is outside 1-65535"},
		"two at once":     {`{"tcpSocket":{"port":1},"grpc":{"port":2}}`, nil, "2 of httpGet"},
		"nothing asked":   {`{"periodSeconds":3}`, nil, "asks nothing"},
		"another scheme":  {`{"httpGet":{"port":1,"scheme":"FTP"}}`, nil, `httpGet.scheme: "FTP" is unknown`},
		"no JSON":         {`{`, nil, "decoding the readiness probe"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseProbe(c.text)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func FuzzParseProbe(f *testing.F) {
	f.Add(`{"httpGet":{"path":"/","port":8080},"periodSeconds":-1}`)
	f.Add(`{"exec":{"command":[]},"timeoutSeconds":99999999999}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseProbe(text)
		if err != nil || p == nil {
			return
		}
		if p.actions() != 1 || p.port() == 0 || p.Period() <= 0 || p.Timeout() <= 0 || p.FailureThreshold < 1 || p.SuccessThreshold < 1 {
			t.Fatalf("unusable: %+v", p)
		}
		if p.HTTPGet != nil && !strings.HasPrefix(p.HTTPGet.Path, "/") {
			t.Fatalf("path %q", p.HTTPGet.Path)
		}
	})
}

func TestReadinessFollowsTheReplies(t *testing.T) {
	now := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		probe   Probe
		replies []Reply
		want    []bool
	}{
		"ready at the first yes":             {Probe{SuccessThreshold: 1, FailureThreshold: 3}, []Reply{Refused, Unready, Ready}, []bool{false, false, true}},
		"two in a row where two are asked":   {Probe{SuccessThreshold: 2, FailureThreshold: 3}, []Reply{Ready, Unready, Ready, Ready}, []bool{false, false, false, true}},
		"a failure or two are forgiven":      {Probe{SuccessThreshold: 1, FailureThreshold: 3}, []Reply{Ready, Unready, Unready, Ready, Unready, Unready, Unready}, []bool{true, true, true, true, true, true, false}},
		"a refused connection is not":        {Probe{SuccessThreshold: 1, FailureThreshold: 3}, []Reply{Ready, Refused}, []bool{true, false}},
		"back again after it was refused":    {Probe{SuccessThreshold: 1, FailureThreshold: 3}, []Reply{Ready, Refused, Ready}, []bool{true, false, true}},
		"nothing changes without a first no": {Probe{SuccessThreshold: 1, FailureThreshold: 1}, []Reply{Ready, Ready}, []bool{true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			var r Readiness
			for i, reply := range c.replies {
				now = now.Add(time.Second)
				r = r.Next(&c.probe, reply, now)
				require.Equal(t, c.want[i], r.Ready, "after reply %d", i)
			}
		})
	}
}

func TestAServerThatIsNotReadyIsAskedEveryFewMilliseconds(t *testing.T) {
	p := &Probe{PeriodSeconds: 10, SuccessThreshold: 1, FailureThreshold: 3}
	begin := time.Unix(0, 0)
	r := Readiness{}.Next(p, Refused, begin)
	require.Equal(t, 3*time.Millisecond, r.Pause(p, Refused, begin.Add(time.Second)))
	require.Equal(t, 5*time.Millisecond, r.Pause(p, Unready, begin.Add(time.Second)))
	require.Equal(t, 20*time.Millisecond, r.Pause(p, Unready, begin.Add(time.Minute)))
	r = r.Next(p, Ready, begin.Add(time.Minute))
	require.Equal(t, 10*time.Second, r.Pause(p, Ready, begin.Add(time.Minute)))
	r = r.Next(p, Unready, begin.Add(2*time.Minute))
	require.Equal(t, time.Second, r.Pause(p, Unready, begin.Add(2*time.Minute)))
}

func TestADrainWaitsForQuietSinceTheCall(t *testing.T) {
	begin := time.Unix(1000, 0)
	d := Drain{Since: begin, Quiet: 5 * time.Second, Timeout: time.Minute}
	require.Equal(t, 5*time.Second, d.Wait(begin, begin.Add(-time.Hour)), "idle for long, but the news travels")
	require.Equal(t, time.Minute, d.Wait(begin, time.Time{}), "somebody is inside")
	require.Equal(t, 4*time.Second, d.Wait(begin.Add(11*time.Second), begin.Add(10*time.Second)))
	require.LessOrEqual(t, d.Wait(begin.Add(15*time.Second), begin.Add(10*time.Second)), time.Duration(0))
	require.LessOrEqual(t, d.Wait(begin.Add(time.Minute), time.Time{}), time.Duration(0))
	require.Equal(t, time.Second, d.Wait(begin.Add(59*time.Second), begin.Add(58*time.Second)), "the timeout comes first")
}

func TestAServerIsBackOnceItListensAfterHavingGone(t *testing.T) {
	const drained = Reply(100) // no reply: the drain has answered
	for name, c := range map[string]struct {
		replies []Reply
		back    bool
	}{
		"it never went":                        {[]Reply{Ready, Ready, drained, Ready}, false},
		"it went":                              {[]Reply{Ready, drained, Refused}, false},
		"it went and came":                     {[]Reply{Ready, drained, Refused, Refused, Ready}, true},
		"it crashed within the drain":          {[]Reply{Ready, Refused, Ready}, true},
		"it was slow, which is not gone":       {[]Reply{Ready, drained, Unready, Ready}, false},
		"it had not come yet, and does so":     {[]Reply{Refused, Ready, drained, Ready}, false},
		"it had not come yet, and was stopped": {[]Reply{Refused, drained, Refused, Ready}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var r Restart
			over := false
			for _, reply := range c.replies {
				if reply == drained {
					over = true
					continue
				}
				r = r.Next(reply, over)
			}
			require.Equal(t, c.back, r.Back)
		})
	}
}

func TestAPodThatOutlivesItsGracePeriodIsNotStopping(t *testing.T) {
	begin := time.Unix(1000, 0)
	d := Drain{Since: begin, Quiet: 5 * time.Second, Timeout: 25 * time.Second}
	require.False(t, d.Outlived(begin.Add(85*time.Second)))
	require.True(t, d.Outlived(begin.Add(85*time.Second+1)))
}
