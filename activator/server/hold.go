package server

import (
	"errors"
	"fmt"
	"time"

	"github.com/rawserve/rawserve/activator"
	"github.com/rawserve/rawserve/internal/answer"
	"github.com/rawserve/rawserve/internal/bodyhold"
	"github.com/rawserve/rawserve/internal/budget"
	"github.com/rawserve/rawserve/internal/forward"
)

const (
	// stall is how long a released request waits for the rest of a body that is
	// coming in. A client that sends nothing for that long may be waiting for the
	// response itself, so the request goes on and the rest is streamed.
	stall = 200 * time.Millisecond
	// slowest is how long it waits for a client that does go on sending: one on a
	// slow line, or one that sends for as long as it gets answers.
	slowest = time.Second
)

// held is the end of a hold: nothing set means that a pod was granted.
type held struct {
	code  int
	again bool // choose a target anew
}

func (h held) granted() bool { return h == held{} }

// hold keeps the request until it is granted a pod or must be answered.
// earlier is its place in the queue where it has had one.
func (c *call) hold(earlier *activator.Waiter) held {
	rt := c.route
	if a := c.takePlace(); a != nil {
		return held{code: c.answer(a)}
	}
	defer rt.requests.Give(1)
	rt.waiting.Enter(time.Now())
	defer func() { rt.waiting.Leave(time.Now()) }()
	defer c.beginHold()()
	_, ready := c.target.pool.Waiting()
	h := c.queue(earlier)
	if h.granted() && c.bodyComing() {
		// Others are ready to go, so it steps aside: a grant is a place among those
		// that connect to a pod and, with a limit, a slot of the model.
		c.target.pool.Release(&c.grant)
		c.body.Await(c.r.Context().Done(), stall, slowest)
		h = c.queue(c.waiter)
	}
	if h.granted() {
		h = c.checkClient()
		if !h.granted() {
			c.target.pool.Release(&c.grant)
		}
	}
	switch {
	case h.granted() && ready > 0:
		// How long a start takes says nothing of how long one waits among others.
		c.target.waited(time.Since(c.arrived))
	case h.code == codeGone:
		rt.abandoned.Add(1)
	}
	return h
}

// takePlace takes a place among the held requests, somebody else's if there is none
// left. Otherwise it returns the answer.
func (c *call) takePlace() *answer.Answer {
	c.who = c.plan.order.Who(c.r.Header, c.conn.Client)
	why := c.route.requests.Try(1)
	if why == budget.Granted {
		return nil
	}
	done, greedy := c.target.pool.Displace(c.who, c.shareExceeded())
	switch {
	case done:
		// Whoever made room is about to give it back.
		c.route.requests.Force(1)
		return nil
	case greedy || why == budget.OverShare:
		c.s.metrics.refuse(refusedByHeldRequests)
		return c.shareExceeded()
	}
	return c.queueFull("requests", refusedByHeldRequests)
}

func (c *call) shareExceeded() *answer.Answer {
	return &answer.Answer{
		Reason:     answer.ShareExceeded,
		Message:    "While no replica is free, too much is held for this client, of this priority, or for this model's namespace. Others come first.",
		RetryAfter: c.target.retryAfter(),
	}
}

// queue puts the request where its arrival puts it, at the end if it has not
// waited before, and waits until it is granted a pod or must be answered.
func (c *call) queue(earlier *activator.Waiter) held {
	switch pool := c.target.pool; {
	case earlier != nil:
		c.waiter = pool.Requeue(earlier)
	case c.sent:
		c.waiter = pool.EnqueueFirst(c.who)
	default:
		c.waiter = pool.Enqueue(c.who)
	}
	// What is refused meanwhile was not in the queue to be told.
	if c.target.dropped.Load() {
		c.target.pool.Cancel(c.waiter)
		return held{again: true}
	}
	if a := c.refusal(); a != nil {
		c.target.pool.Cancel(c.waiter)
		return held{code: c.answer(a)}
	}
	c.s.start(c.target)
	c.s.borrow(c.target)
	if c.body == nil && c.r.ContentLength != 0 && (c.exchange == nil || c.exchange.Untouched()) {
		c.body = c.startBody()
	}
	return c.wait()
}

// bodyComing reports whether the client may still be sending the body, so that
// nobody can tell whether it is there: over HTTP/2 it would have said that it goes.
func (c *call) bodyComing() bool {
	return c.body != nil && c.r.ProtoMajor == 1 && c.body.Coming()
}

// holdAgain holds a request whose pod could not be reached. Another pod that is
// ready is granted at once.
func (c *call) holdAgain() held {
	for {
		h := c.hold(c.waiter)
		if !h.again {
			return h
		}
		c.plan = c.route.plan.Load()
		c.target = c.plan.pick()
		c.waiter = nil
		if a := c.refusal(); a != nil {
			return held{code: c.answer(a)}
		}
	}
}

func (c *call) startBody() *bodyhold.Body {
	c.bodyOf = c.route.clients.join(clientKey{c.who.Client, c.who.Client != c.conn.Client}, c.route.shares)
	return bodyhold.StartRequest(c.w, c.r, bodyhold.Options{
		MaxMemory: c.s.config.Queue.MaxBodyMemory.Value(),
		Memory:    c.bodyOf.bytes,
		Spool:     c.s.spool,
	})
}

// wait waits for the verdict, the client's end, the body's failure, the end of
// patience and the end of the activator.
func (c *call) wait() held {
	patience, reason := c.patience()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var settled <-chan struct{}
	if c.body != nil {
		settled = c.body.Settled()
	}
	for {
		select {
		case v := <-c.waiter.Verdict:
			switch {
			case v.Refused == rerouted:
				return held{again: true}
			case v.Refused != nil:
				return held{code: c.answer(v.Refused)}
			}
			c.grant = v.Grant
			return held{}
		case <-settled:
			settled = nil
			if err := c.body.Err(); err != nil {
				c.target.pool.Cancel(c.waiter)
				return c.bodyFailed(err)
			}
		case <-c.r.Context().Done():
			c.target.pool.Cancel(c.waiter)
			return held{code: codeGone}
		case <-timer.C:
			c.target.pool.Cancel(c.waiter)
			if reason == clientsOwn {
				return held{code: c.answer(answer.TooLate)}
			}
			return held{code: c.answer(&answer.Answer{
				Reason:     answer.QueueTimeout,
				Message:    fmt.Sprintf("No replica became free within %s (%s).", patience.Round(time.Millisecond), reason),
				RetryAfter: c.target.retryAfter(),
			})}
		case <-c.s.cutoff:
			c.target.pool.Cancel(c.waiter)
			return held{code: c.answer(&answer.Answer{
				Reason:     answer.Draining,
				Message:    "This activator is shutting down; another one takes the request.",
				RetryAfter: time.Second,
			})}
		}
	}
}

// patience is how much longer the request may be held, and by which limit.
func (c *call) patience() (time.Duration, string) {
	patience, reason := c.plan.timeouts.queue-time.Since(c.arrived), "timeouts.queue of the route"
	if at, byClient := c.ends(); !at.IsZero() && time.Until(at) < patience {
		patience, reason = time.Until(at), "timeouts.total of the route"
		if byClient {
			reason = clientsOwn
		}
	}
	return max(patience, 0), reason
}

// clientsOwn is the limit that the client has set.
const clientsOwn = "the client's own deadline"

// checkClient makes sure, before anything is executed for it, that the client
// is still there.
func (c *call) checkClient() held {
	if c.body != nil {
		c.body.Release()
		if err := c.body.Err(); err != nil {
			return c.bodyFailed(err)
		}
	}
	switch {
	case c.conn.Left(c.r):
		return held{code: codeGone}
	case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
		// The pod came in the same moment.
		return held{code: c.answer(answer.TooLate)}
	}
	return held{}
}

func (c *call) bodyFailed(err error) held {
	switch {
	case errors.Is(err, bodyhold.ErrOverShare):
		c.s.metrics.refuse(refusedByHeldBytes)
		return held{code: c.answer(c.shareExceeded())}
	case errors.Is(err, bodyhold.ErrNoMemory):
		return held{code: c.answer(c.queueFull("bytes", refusedByHeldBytes))}
	case forward.HungUp(err):
		return held{code: codeGone}
	default:
		return held{code: c.answer(&answer.Answer{Reason: answer.BadRequest, Message: "The request's body cannot be read: " + err.Error()})}
	}
}

func (c *call) queueFull(what string, limit refusedBy) *answer.Answer {
	c.s.metrics.refuse(limit)
	return &answer.Answer{
		Reason:     answer.QueueFull,
		Message:    "Too many " + what + " are held already while no replica is free.",
		RetryAfter: c.target.retryAfter(),
	}
}
