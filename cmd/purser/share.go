package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/report"
)

// shareCmd makes a report that opens without access to the bucket.
type shareCmd struct {
	targetFlags
	Job  string        `arg:"" help:"The job."`
	For  time.Duration `default:"24h" help:"How long the links open, 7 days (168h) at most."`
	JSON bool          `name:"json" help:"Print one JSON object."`
}

// longestShare is S3's limit for a presigned link.
const longestShare = 7 * 24 * time.Hour

// Help is shown by purser share --help.
func (*shareCmd) Help() string {
	return `Whoever has the link sees the report and opens its documents: treat it as the documents themselves. The links are presigned with your
own credentials and end with them, if those end first.

Exit codes: 0 the link was made; 1 it was not; 2 there is no such job, or --for is too long.`
}

// Run makes the link.
func (c *shareCmd) Run(a *app) error {
	if c.For < time.Second || c.For > longestShare {
		return usagef("--for is %s; it must be 1s to 168h", c.For)
	}
	t, err := c.open(a)
	if err != nil {
		return err
	}
	if _, err := t.job(a.ctx, c.Job); err != nil {
		return err
	}
	link, err := t.share(a.ctx, c.Job, c.For)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a.stdout, map[string]any{"job": c.Job, "link": link, "until": time.Now().Add(c.For).UTC().Truncate(time.Second)})
	}
	fmt.Fprintln(a.stdout, link)
	return nil
}

// share stores a report with presigned links beside the report, and presigns a link to it.
func (t *target) share(ctx context.Context, job string, d time.Duration) (string, error) {
	body, _, err := t.files.Open(ctx, archive.ResultKey(job, report.ReportName), "", "")
	if errors.Is(err, archive.ErrGone) {
		return "", fmt.Errorf("the job has no report yet; see: purser watch %s", job)
	}
	if err != nil {
		return "", err
	}
	defer body.Close()
	page, err := io.ReadAll(body)
	if err != nil {
		return "", err
	}
	client := s3.NewPresignClient(t.S3, s3.WithPresignExpires(d))
	presign := func(key string) (string, error) {
		request, err := client.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &t.Bucket, Key: &key})
		if err != nil {
			return "", fmt.Errorf("presigning a link to %s: %w", key, err)
		}
		return request.URL, nil
	}
	links := map[string]string{}
	for _, prefix := range []string{"download/" + job + "/", "results/" + job + "/evidence/"} {
		for o, err := range t.files.List(ctx, prefix) {
			if err != nil {
				return "", err
			}
			if links[o.Key], err = presign(o.Key); err != nil {
				return "", err
			}
		}
	}
	shared, err := report.Shared(page, links)
	if err != nil {
		return "", err
	}
	key := archive.ResultKey(job, report.SharedName)
	if err := t.files.Put(ctx, key, "text/html; charset=utf-8", shared); err != nil {
		return "", err
	}
	return presign(key)
}
