package local

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// FindNames asks a stack that runs, in this process or another, for the names of its resources.
func FindNames(ctx context.Context, cfg aws.Config) (Names, error) {
	n := Names{Bucket: bucketName, Table: tableName}
	queues := sqs.NewFromConfig(cfg)
	for name, url := range map[string]*string{queueName: &n.QueueURL, dlqName: &n.DLQURL} {
		out, err := queues.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
		if err != nil {
			return n, fmt.Errorf("finding the queue %s: %w", name, err)
		}
		*url = aws.ToString(out.QueueUrl)
	}
	topic, err := sns.NewFromConfig(cfg).CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String(topicName)}) // finds it when it exists
	if err != nil {
		return n, fmt.Errorf("finding the topic %s: %w", topicName, err)
	}
	secret, err := secretsmanager.NewFromConfig(cfg).DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: aws.String(secretName)})
	if err != nil {
		return n, fmt.Errorf("finding the secret %s: %w", secretName, err)
	}
	n.TopicARN, n.SecretARN = aws.ToString(topic.TopicArn), aws.ToString(secret.ARN)
	return n, nil
}
