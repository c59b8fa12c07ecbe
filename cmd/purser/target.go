package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/sirupsen/logrus"

	"github.com/purserhq/purser/internal/archive"
	"github.com/purserhq/purser/internal/cloud"
	"github.com/purserhq/purser/internal/dispatch"
	"github.com/purserhq/purser/internal/ledger"
	"github.com/purserhq/purser/internal/local"
)

// targetFlags say which stack a command speaks to.
type targetFlags struct {
	Stack    string `help:"A deployed stack; its outputs are read from CloudFormation." env:"PURSER_STACK" placeholder:"NAME"`
	Endpoint string `help:"Otherwise the local stack at this address." default:"http://127.0.0.1:4566" env:"AWS_ENDPOINT_URL"`
}

// target is the stack that a command speaks to.
type target struct {
	*cloud.Clients
	local.Names
	deployed bool

	jobs  *ledger.Ledger
	files *archive.Archive
}

// open finds the stack.
func (f targetFlags) open(a *app) (*target, error) {
	t := &target{deployed: f.Stack != ""}
	var err error
	if t.deployed {
		err = t.findDeployed(a.ctx, f.Stack)
	} else {
		err = t.findLocal(a, f.Endpoint)
	}
	if err != nil {
		return nil, err
	}
	t.jobs, t.files = ledger.New(t.DynamoDB, t.Table), archive.New(t.S3, t.Bucket)
	return t, nil
}

func (t *target) findDeployed(ctx context.Context, stack string) error {
	clients, err := cloud.Load(ctx)
	if err != nil {
		return err
	}
	t.Clients = clients
	out, err := cloudformation.NewFromConfig(clients.Config).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &stack})
	if err != nil {
		return fmt.Errorf("reading the stack %s (is the name right, and the AWS region and profile?): %w", stack, err)
	}
	values := map[string]string{}
	for _, s := range out.Stacks {
		for _, o := range s.Outputs {
			values[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
		}
	}
	t.Names = local.Names{
		Bucket: values["BucketName"], Table: values["TableName"], QueueURL: values["QueueUrl"], DLQURL: values["DeadLetterQueueUrl"],
		TopicARN: values["TopicArn"], SecretARN: values["SessionSecretArn"],
	}
	if t.Bucket == "" || t.Table == "" || t.QueueURL == "" {
		return fmt.Errorf("the stack %s has no outputs BucketName, TableName and QueueUrl: it is none of Purser's", stack)
	}
	return nil
}

func (t *target) findLocal(a *app, endpoint string) error {
	if u, err := url.Parse(endpoint); err != nil || u.Host == "" {
		return usagef("--endpoint is %q; it must be an address such as http://127.0.0.1:4566", endpoint)
	}
	or := func(name, otherwise string) string {
		if v := a.env(name); v != "" {
			return v
		}
		return otherwise
	}
	t.Clients = cloud.New(aws.Config{
		Region: or("AWS_REGION", local.DefaultRegion), BaseEndpoint: &endpoint,
		Credentials: credentials.NewStaticCredentialsProvider(
			or("AWS_ACCESS_KEY_ID", local.DefaultAccessKey), or("AWS_SECRET_ACCESS_KEY", local.DefaultSecretKey), ""),
		RetryMaxAttempts: 2,
	})
	names, err := local.FindNames(a.ctx, t.Config)
	if err != nil {
		return fmt.Errorf("no local stack of Purser answers at %s; start one with: purser local, or name a deployed one with --stack: %w", endpoint, err)
	}
	t.Names = names
	return nil
}

// job reads a job, and says what to do when there is none of that id.
func (t *target) job(ctx context.Context, id string) (ledger.Job, error) {
	j, err := t.jobs.Job(ctx, id)
	if errors.Is(err, ledger.ErrNoJob) {
		return j, usagef("there is no job %s; purser status lists the jobs", id)
	}
	return j, err
}

// dispatcher does what the dispatcher function does, on the operator's behalf.
func (t *target) dispatcher() *dispatch.Dispatcher {
	quiet := logrus.New()
	quiet.SetOutput(io.Discard)
	return dispatch.New(dispatch.Options{
		Ledger: t.jobs, Archive: t.files, SQS: t.SQS, QueueURL: t.QueueURL, DLQURL: t.DLQURL, Log: quiet,
	})
}

// arn is a queue's ARN.
func (t *target) arn(ctx context.Context, queue string) (string, error) {
	out, err := t.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &queue, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		return "", fmt.Errorf("reading the queue %s: %w", queue[strings.LastIndex(queue, "/")+1:], err)
	}
	return out.Attributes[string(types.QueueAttributeNameQueueArn)], nil
}

// printJSON writes one object on one line.
func printJSON(w io.Writer, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, string(data))
	return err
}
