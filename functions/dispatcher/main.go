// The dispatcher turns a sheet that was dropped into the bucket into messages, one for each PO. On a schedule it also settles
// rows whose message is gone.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/cloud"
	"github.com/purserhq/purser/internal/config"
	"github.com/purserhq/purser/internal/dispatch"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/sheet"
	"github.com/purserhq/purser/internal/telemetry"
)

func main() {
	settings, err := config.FromEnviron(os.Environ())
	log, _ := telemetry.NewLogger(telemetry.LogOptions{
		Out: os.Stdout, Level: settings.LogLevel, Format: settings.LogFormat, Service: settings.Service,
	})
	if err == nil {
		err = settings.Require("BUCKET_NAME", "TABLE_NAME", "QUEUE_URL", "DEAD_LETTER_QUEUE_URL")
	}
	if err != nil {
		log.WithError(err).Fatal("the settings are wrong")
	}
	aws, err := cloud.Load(context.Background())
	if err != nil {
		log.WithError(err).Fatal("the dispatcher cannot start")
	}
	d := dispatch.New(dispatch.Options{
		Ledger: ledger.New(aws.DynamoDB, settings.Table), Archive: archive.New(aws.S3, settings.Bucket), SQS: aws.SQS,
		QueueURL: settings.QueueURL, DLQURL: settings.DLQURL, MaxTries: settings.MaxReceives, Log: log,
		Sheet:   sheet.Options{POColumn: settings.POColumn, SupplierColumn: settings.SupplierColumn, Pattern: settings.POPattern},
		Metrics: telemetry.NewMetrics(os.Stdout, settings.Namespace, settings.Service),
	})
	lambda.Start(d.Handle)
}
