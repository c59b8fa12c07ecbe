package local

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/uuid"
	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/ledger"
	localsqs "github.com/purserhq/purser/internal/local/sqs"
)

// prepareFunctions sets up the pools and the way of S3's events, so that no object can be stored of which no event is kept.
func (s *Stack) prepareFunctions() {
	o := s.options
	f := function{
		rie: o.RIE, freeze: o.Freeze, mark: s.mark(), log: s.log,
		home: filepath.Join(s.stateDir(), "environments"), logs: s.LogDir(),
	}
	dispatcher, downloader := f, f
	dispatcher.name, dispatcher.binary = DispatcherName, o.Dispatcher
	dispatcher.memory, dispatcher.timeout = o.DispatcherMemory, o.DispatcherTimeout
	downloader.name, downloader.binary = DownloaderName, o.Downloader
	downloader.memory, downloader.timeout = o.DownloaderMemory, o.DownloaderTimeout
	s.dispatcher = newPool(&dispatcher, dispatcherEnvironments)
	s.downloader = newPool(&downloader, o.Environments)
	s.uploads = newAsyncPump(s.journal, s.dispatcher, o.RetryDelay, s.log)
	s.services.OnObjectCreated(func(object ObjectCreated) {
		if object.Bucket != bucketName || !isInput(object.Key) {
			return
		}
		if err := s.uploads.submit(object.Key, newS3Event(object, o.Region)); err != nil {
			s.log.WithError(err).WithField("key", object.Key).Error("event of a new object is lost; store the object again")
		}
	})
}

// startFunctions tells the functions where everything is, and starts the pumps.
func (s *Stack) startFunctions(ctx context.Context) error {
	client := sqs.NewFromConfig(s.AWSConfig())
	arn, err := queueARN(ctx, client, s.QueueURL)
	if err != nil {
		return err
	}
	o := s.options
	queue := &queuePump{
		client: client, journal: s.journal, invoke: s.downloader.invoke,
		queueURL: s.QueueURL, queueARN: arn, region: o.Region,
		batchSize: o.BatchSize, window: o.Window, concurrency: o.MaxConcurrency,
		log: s.log.WithField("function", DownloaderName),
	}
	// No environment lives now: what an earlier stack's had in hand is free.
	if err := ledger.New(dynamodb.NewFromConfig(s.AWSConfig()), s.Table).EndLeases(ctx); err != nil {
		return fmt.Errorf("ending the leases of an earlier stack: %w", err)
	}
	if err := queue.giveBack(ctx); err != nil {
		return err
	}
	env := s.functionEnv()
	s.dispatcher.function.env, s.downloader.function.env = env, env

	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stopPumps = stop
	s.pumps.Go(func() { s.uploads.run(running) })
	s.pumps.Go(func() { queue.run(running) })
	s.pumps.Go(func() { s.schedule(running) })
	return nil
}

// functionEnv is the functions' settings, as template.yaml gives them, and the caller's.
func (s *Stack) functionEnv() []string {
	env := append(
		s.ClientEnv(),
		"BUCKET_NAME="+s.Bucket,
		"TABLE_NAME="+s.Table,
		"QUEUE_URL="+s.QueueURL,
		"DEAD_LETTER_QUEUE_URL="+s.DLQURL,
		"TOPIC_ARN="+s.TopicARN,
		"MAX_RECEIVE_COUNT="+strconv.Itoa(s.options.MaxReceives),
		"PORTAL_SESSION_SECRET="+s.SecretARN,
	)
	if s.options.Workers > 0 {
		env = append(env, "WORKER_COUNT="+strconv.Itoa(s.options.Workers))
	}
	return append(env, s.options.Env...)
}

// schedule is EventBridge's rule. A sweep that is missed is made up for by the next one.
func (s *Stack) schedule(ctx context.Context) {
	if s.options.SweepEvery < 0 {
		return
	}
	tick := time.NewTicker(s.options.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := s.Sweep(context.WithoutCancel(ctx)); err != nil && ctx.Err() == nil {
				s.log.WithError(err).WithFields(logrus.Fields{"function": DispatcherName}).Warn("scheduled event failed")
			}
		case <-ctx.Done():
			return
		}
	}
}

// Sweep sends the dispatcher its scheduled event now, and waits for the answer.
func (s *Stack) Sweep(ctx context.Context) error {
	if s.options.ServicesOnly {
		return fmt.Errorf("this stack has no %s to sweep: it runs the services only", DispatcherName)
	}
	_, err := s.dispatcher.invoke(ctx, newScheduledEvent(uuid.NewString(), time.Now(), s.options.Region, localsqs.Account))
	return err
}
