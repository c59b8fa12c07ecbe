// The downloader fetches the documents of the POs that the queue hands it. In AWS it is a container image.
package main

import (
	"context"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/cloud"
	"github.com/purserhq/purser/internal/config"
	"github.com/purserhq/purser/internal/download"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/portal"
	"github.com/purserhq/purser/internal/report"
	"github.com/purserhq/purser/internal/sheet"
	"github.com/purserhq/purser/internal/telemetry"
)

func main() {
	settings, err := config.FromEnviron(os.Environ())
	log, secrets := telemetry.NewLogger(telemetry.LogOptions{
		Out: os.Stdout, Level: settings.LogLevel, Format: settings.LogFormat, Service: settings.Service,
	})
	if err != nil {
		log.WithError(err).Fatal("the settings are wrong")
	}
	ctx := context.Background()
	aws, err := cloud.Load(ctx)
	if err != nil {
		log.WithError(err).Fatal("the downloader cannot start")
	}
	files := archive.New(aws.S3, settings.Bucket)
	profile, err := loadProfile(ctx, files, settings)
	if err != nil {
		log.WithError(err).Fatal("the portal's profile cannot be used")
	}
	rows := ledger.New(aws.DynamoDB, settings.Table, ledger.WithCircuitWait(settings.CircuitWait))
	results := &report.Finalizer{
		Ledger: rows, Archive: files, Location: settings.Location, Log: log,
		Sheet:   sheet.Options{POColumn: settings.POColumn, SupplierColumn: settings.SupplierColumn, Pattern: settings.POPattern},
		Publish: publisher(aws, settings.TopicARN),
	}
	options := download.Options{
		Settings: settings, Ledger: rows, Archive: files, Queue: aws.SQS, Profile: profile, Finalize: results.Finalize,
		Notify: results.NotifyBlocked, Log: log, Secrets: secrets,
		Metrics: telemetry.NewMetrics(os.Stdout, settings.Namespace, settings.Service),
	}
	if settings.SessionSecret != "" {
		options.Session = func(ctx context.Context) (*portal.Session, error) { return aws.Session(ctx, settings.SessionSecret) }
	}
	d, err := download.New(options)
	if err != nil {
		log.WithError(err).Fatal("the downloader cannot start")
	}
	lambda.StartWithOptions(d.Handle, lambda.WithEnableSIGTERM(func() {
		// Lambda kills the process some 500 ms after SIGTERM; Shutdown does first what matters most.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := d.Shutdown(ctx); err != nil {
			log.WithError(err).Warn("shutting down")
		}
	}))
}

// loadProfile reads a built-in profile, a file, or, when the name begins with "profiles/", an object of the bucket.
func loadProfile(ctx context.Context, files *archive.Archive, s config.Settings) (*portal.Profile, error) {
	profile, err := readProfile(ctx, files, s.PortalProfile)
	if err != nil || s.PortalBaseURL == "" {
		return profile, err
	}
	return profile.WithBaseURL(s.PortalBaseURL)
}

func readProfile(ctx context.Context, files *archive.Archive, name string) (*portal.Profile, error) {
	if !strings.HasPrefix(name, "profiles/") {
		return portal.Load(name)
	}
	object, _, err := files.Open(ctx, name, "", "")
	if err != nil {
		return nil, err
	}
	defer object.Close()
	data, err := io.ReadAll(object)
	if err != nil {
		return nil, err
	}
	return portal.Parse(data, name)
}

// publisher tells the topic's subscribers; nil when there is no topic.
func publisher(aws *cloud.Clients, topic string) report.Publish {
	if topic == "" {
		return nil
	}
	return func(ctx context.Context, subject, text string) error { return aws.Publish(ctx, topic, subject, text) }
}
