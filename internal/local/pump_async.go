package local

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

const (
	// asyncRetries is how often Lambda invokes a function again that failed on an asynchronous event.
	asyncRetries = 2
	// coldRetryDelay is the wait after an environment could not be started, which counts as no try.
	coldRetryDelay = 5 * time.Second
)

// asyncPump delivers events as Lambda does for S3 and EventBridge: whoever sends an event does not wait, and a function that fails
// gets it again twice, after a minute and after two more. Events are in the journal until they are done.
type asyncPump struct {
	journal     *journal
	invoke      func(ctx context.Context, event []byte) ([]byte, error)
	concurrency int
	retryDelay  time.Duration
	log         logrus.FieldLogger
	wake        chan struct{} // holds one token when there may be something to do
}

func newAsyncPump(j *journal, p *pool, retryDelay time.Duration, log logrus.FieldLogger) *asyncPump {
	return &asyncPump{
		journal: j, invoke: p.invoke, concurrency: len(p.all), retryDelay: retryDelay, log: log, wake: make(chan struct{}, 1),
	}
}

// submit takes an event. When it returns, the event is on the disk.
func (p *asyncPump) submit(subject string, event []byte) error {
	if err := p.journal.add(asyncEvent{Subject: subject, Event: json.RawMessage(event)}); err != nil {
		return err
	}
	select {
	case p.wake <- struct{}{}:
	default: // there is a token already
	}
	return nil
}

// run delivers events until the context ends and the last invocation is over. Events that failed for that reason stay as they are.
func (p *asyncPump) run(ctx context.Context) {
	var (
		running  = map[uint64]bool{}
		finished = make(chan uint64)
		works    sync.WaitGroup
	)
	defer works.Wait()
	for {
		due, next := p.due(running)
		for _, e := range due {
			running[e.ID] = true
			works.Go(func() {
				p.deliver(ctx, e)
				select {
				case finished <- e.ID:
				case <-ctx.Done():
				}
			})
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-p.wake:
		case id := <-finished:
			delete(running, id)
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// due lists the events to deliver now, as many as there are environments, and when the next one is due.
func (p *asyncPump) due(running map[uint64]bool) (due []asyncEvent, next time.Time) {
	now := time.Now()
	next = now.Add(time.Hour)
	events, err := p.journal.events()
	if err != nil {
		p.log.WithError(err).Error("events cannot be read")
		return nil, now.Add(coldRetryDelay)
	}
	for _, e := range events {
		switch {
		case running[e.ID]:
		case e.NotBefore.After(now):
			if e.NotBefore.Before(next) {
				next = e.NotBefore
			}
		case len(running)+len(due) < p.concurrency:
			due = append(due, e)
		}
	}
	return due, next
}

// deliver invokes the function once, and records what came of it.
func (p *asyncPump) deliver(ctx context.Context, e asyncEvent) {
	log := p.log.WithField("event", e.Subject)
	_, err := p.invoke(context.WithoutCancel(ctx), e.Event)
	var failure *functionError
	switch {
	case err == nil:
		err = p.journal.remove(e)
	case ctx.Err() != nil:
		log.Info("event waits for the next start")
		return
	case errors.As(err, &failure):
		if e.Failures++; e.Failures > asyncRetries {
			log.WithError(failure).Error("event is given up after its last retry; store the object again to try anew")
			err = p.journal.remove(e)
			break
		}
		wait := time.Duration(e.Failures) * p.retryDelay
		log.WithError(failure).Warnf("event failed, is tried again in %s", wait)
		e.NotBefore = time.Now().Add(wait)
		err = p.journal.update(e)
	default: // the function was not reached
		log.WithError(err).Error("event waits for an execution environment")
		e.NotBefore = time.Now().Add(coldRetryDelay)
		err = p.journal.update(e)
	}
	if err != nil {
		log.WithError(err).Error("event's state could not be kept")
	}
}
