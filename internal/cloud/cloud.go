// Package cloud makes the AWS clients that the functions and the operator's command share. With AWS_ENDPOINT_URL in the
// environment they speak to the local stack, with the same code.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/purserhq/purser/internal/portal"
)

// Clients are one account's services.
type Clients struct {
	Config   aws.Config
	S3       *s3.Client
	SQS      *sqs.Client
	DynamoDB *dynamodb.Client
	SNS      *sns.Client
	Secrets  *secretsmanager.Client
}

// Load reads the account from the environment, as every AWS tool does.
func Load(ctx context.Context) (*Clients, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithHTTPClient(transport()))
	if err != nil {
		return nil, fmt.Errorf("reading the AWS configuration: %w", err)
	}
	return New(cfg), nil
}

// New makes the clients of a configuration.
func New(cfg aws.Config) *Clients {
	injectFaults(&cfg)
	return &Clients{
		Config: cfg,
		S3: s3.NewFromConfig(cfg, func(o *s3.Options) {
			// The local stack has one host for all buckets.
			o.UsePathStyle = cfg.BaseEndpoint != nil
		}),
		SQS:      sqs.NewFromConfig(cfg),
		DynamoDB: dynamodb.NewFromConfig(cfg),
		SNS:      sns.NewFromConfig(cfg),
		Secrets:  secretsmanager.NewFromConfig(cfg),
	}
}

// transport keeps as many connections open as a batch uses at once. It is built on the SDK's own client, which knows
// AWS_CA_BUNDLE.
func transport() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 256, 64
	})
}

// Session reads the portal's session from the secret of the name or ARN. It is nil while nobody has put one there.
func (c *Clients) Session(ctx context.Context, secret string) (*portal.Session, error) {
	out, err := c.Secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &secret})
	var none *types.ResourceNotFoundException // said of a secret without a value, too
	if errors.As(err, &none) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the secret %s: %w", secret, err)
	}
	data := out.SecretBinary
	if out.SecretString != nil {
		data = []byte(*out.SecretString)
	}
	if len(data) == 0 {
		return nil, errors.New("the secret " + secret + " is empty")
	}
	return portal.ParseSession(data)
}

// Publish tells the topic's subscribers something. The subject is shortened to what SNS takes: 100 printable ASCII characters.
func (c *Clients) Publish(ctx context.Context, topic, subject, text string) error {
	_, err := c.SNS.Publish(ctx, &sns.PublishInput{TopicArn: &topic, Subject: aws.String(subjectLine(subject)), Message: &text})
	if err != nil {
		return fmt.Errorf("publishing to %s: %w", topic, err)
	}
	return nil
}

func subjectLine(s string) string {
	line := make([]byte, 0, 100)
	for _, r := range s {
		if len(line) == 100 {
			break
		}
		if r < ' ' || r > '~' {
			r = '?'
		}
		line = append(line, byte(r))
	}
	return string(line)
}
