package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	secrettypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/purserhq/purser/internal/ledger"
)

// The names of the stack's resources.
const (
	bucketName = "purser"
	tableName  = "purser"
	queueName  = "purser-pos"
	dlqName    = "purser-pos-dlq"
	topicName  = "purser-notices"
	secretName = "purser/portal-session" //nolint:gosec // a name, not a secret
)

// dlqRetention is 14 days, as in template.yaml, in seconds.
const dlqRetention = 14 * 24 * 60 * 60

// makeResources makes what template.yaml makes, unless it is there from an earlier start.
func (s *Stack) makeResources(ctx context.Context) error {
	for _, resource := range []struct {
		what string
		make func(context.Context) error
	}{
		{"bucket", s.makeBucket},
		{"queues", s.makeQueues},
		{"table", s.makeTable},
		{"topic", s.makeTopic},
		{"secret", s.makeSecret},
	} {
		if err := resource.make(ctx); err != nil {
			return fmt.Errorf("making the stack's %s: %w", resource.what, err)
		}
	}
	return nil
}

func (s *Stack) makeBucket(context.Context) error {
	s.Bucket = bucketName
	return s.services.CreateBucket(bucketName)
}

func (s *Stack) makeQueues(ctx context.Context) (err error) {
	client := sqs.NewFromConfig(s.AWSConfig())
	s.DLQURL, err = makeQueue(ctx, client, dlqName, map[string]string{"MessageRetentionPeriod": strconv.Itoa(dlqRetention)})
	if err != nil {
		return err
	}
	if s.DLQARN, err = queueARN(ctx, client, s.DLQURL); err != nil {
		return err
	}
	redrive, err := json.Marshal(map[string]any{"deadLetterTargetArn": s.DLQARN, "maxReceiveCount": s.options.MaxReceives})
	if err != nil {
		return err
	}
	s.QueueURL, err = makeQueue(ctx, client, queueName, map[string]string{
		"VisibilityTimeout": strconv.Itoa(int(s.options.Visibility.Seconds())),
		"RedrivePolicy":     string(redrive),
	})
	return err
}

// makeQueue makes a queue, or gives one that exists the attributes of this start.
func makeQueue(ctx context.Context, client *sqs.Client, name string, attributes map[string]string) (url string, err error) {
	existing, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	var none *sqstypes.QueueDoesNotExist
	switch {
	case errors.As(err, &none):
		made, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
		if err != nil {
			return "", err
		}
		return aws.ToString(made.QueueUrl), nil
	case err != nil:
		return "", err
	}
	_, err = client.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: existing.QueueUrl, Attributes: attributes})
	return aws.ToString(existing.QueueUrl), err
}

func queueARN(ctx context.Context, client *sqs.Client, url string) (string, error) {
	const arn = sqstypes.QueueAttributeNameQueueArn
	out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{arn},
	})
	if err != nil {
		return "", err
	}
	return out.Attributes[string(arn)], nil
}

func (s *Stack) makeTable(ctx context.Context) error {
	s.Table = tableName
	client := dynamodb.NewFromConfig(s.AWSConfig())
	_, err := client.CreateTable(ctx, ledger.CreateTableInput(tableName))
	var exists *dynamotypes.ResourceInUseException
	if errors.As(err, &exists) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName:               aws.String(tableName),
		TimeToLiveSpecification: &dynamotypes.TimeToLiveSpecification{AttributeName: aws.String("expires"), Enabled: aws.Bool(true)},
	})
	return err
}

func (s *Stack) makeTopic(ctx context.Context) error {
	out, err := sns.NewFromConfig(s.AWSConfig()).CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String(topicName)})
	if err != nil {
		return err
	}
	s.TopicARN = aws.ToString(out.TopicArn)
	return nil
}

// makeSecret makes the secret, which is empty until somebody puts a session into it.
func (s *Stack) makeSecret(ctx context.Context) error {
	client := secretsmanager.NewFromConfig(s.AWSConfig())
	made, err := client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String(secretName)})
	var exists *secrettypes.ResourceExistsException
	switch {
	case err == nil:
		s.SecretARN = aws.ToString(made.ARN)
	case errors.As(err, &exists):
		described, err := client.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: aws.String(secretName)})
		if err != nil {
			return err
		}
		s.SecretARN = aws.ToString(described.ARN)
	default:
		return err
	}
	if len(s.options.Session) == 0 {
		return nil
	}
	_, err = client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId: &s.SecretARN, SecretString: aws.String(string(s.options.Session)),
	})
	return err
}
