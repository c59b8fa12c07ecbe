package local_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/purserhq/purser/internal/local"
)

// services is the local services behind one port, with real clients, as the functions have them.
type services struct {
	*local.Services
	t      *testing.T
	data   string
	server *httptest.Server

	s3       *s3.Client
	sqs      *sqs.Client
	dynamodb *dynamodb.Client
	secrets  *secretsmanager.Client
	sns      *sns.Client
}

func startServices(t *testing.T) *services {
	s := &services{t: t, data: t.TempDir()}
	s.open()
	t.Cleanup(s.close)
	return s
}

func (s *services) open() {
	var err error
	s.Services, err = local.OpenServices(local.ServicesOptions{Data: s.data, AccessKey: "purser", SecretKey: "purser-local"})
	require.NoError(s.t, err)
	s.server = httptest.NewServer(s.Handler())
	s.connect("purser", "purser-local")
}

func (s *services) close() {
	require.NoError(s.t, s.Services.Close())
	s.server.Close()
}

func (s *services) connect(key, secret string) {
	c := aws.Config{
		Region: "us-east-1", BaseEndpoint: &s.server.URL, HTTPClient: s.server.Client(), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(key, secret, ""),
	}
	s.s3 = s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = true })
	s.sqs, s.dynamodb = sqs.NewFromConfig(c), dynamodb.NewFromConfig(c)
	s.secrets, s.sns = secretsmanager.NewFromConfig(c), sns.NewFromConfig(c)
}

func errorCode(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

func TestOnePortServesAllAndARestartKeepsAll(t *testing.T) {
	s, ctx := startServices(t), t.Context()
	require.NoError(t, s.CreateBucket("box"))
	require.NoError(t, s.CreateBucket("box"), "again is no error")
	require.ErrorContains(t, s.CreateBucket("No_Bucket"), `bucket "No_Bucket"`)
	var created []local.ObjectCreated
	s.OnObjectCreated(func(o local.ObjectCreated) { created = append(created, o) })
	_, err := s.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("box"), Key: aws.String("input/pos.csv"), Body: strings.NewReader("x")})
	require.NoError(t, err)
	require.Len(t, created, 1)
	require.Equal(t, "input/pos.csv", created[0].Key)

	queue, err := s.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("work")})
	require.NoError(t, err)
	require.Equal(t, s.server.URL+"/000000000000/work", *queue.QueueUrl)
	_, err = s.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: aws.String("task")})
	require.NoError(t, err)

	_, err = s.dynamodb.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: aws.String("ledger"), BillingMode: dynamotypes.BillingModePayPerRequest,
		AttributeDefinitions: []dynamotypes.AttributeDefinition{{AttributeName: aws.String("PK"), AttributeType: "S"}},
		KeySchema:            []dynamotypes.KeySchemaElement{{AttributeName: aws.String("PK"), KeyType: "HASH"}},
	})
	require.NoError(t, err)
	item := map[string]dynamotypes.AttributeValue{"PK": &dynamotypes.AttributeValueMemberS{Value: "JOB#1"}}
	_, err = s.dynamodb.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("ledger"), Item: item})
	require.NoError(t, err)

	_, err = s.secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("purser/session"), SecretString: aws.String("old")})
	require.NoError(t, err)
	_, err = s.secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: aws.String("purser/session"), SecretString: aws.String("new")})
	require.NoError(t, err)

	topic, err := s.sns.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("jobs")})
	require.NoError(t, err)

	s.close()
	s.open()

	object, err := s.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("box"), Key: aws.String("input/pos.csv")})
	require.NoError(t, err)
	content, err := io.ReadAll(object.Body)
	require.NoError(t, errors.Join(err, object.Body.Close()))
	require.Equal(t, "x", string(content))

	url, err := s.sqs.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("work")})
	require.NoError(t, err)
	got, err := s.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: url.QueueUrl})
	require.NoError(t, err)
	require.Equal(t, "task", *got.Messages[0].Body)

	kept, err := s.dynamodb.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("ledger"), Key: item})
	require.NoError(t, err)
	require.Equal(t, item, kept.Item)

	for stage, want := range map[string]string{"AWSCURRENT": "new", "AWSPREVIOUS": "old"} {
		secret, err := s.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("purser/session"), VersionStage: &stage})
		require.NoError(t, err)
		require.Equal(t, want, *secret.SecretString)
	}
	_, err = s.secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("purser/session")})
	require.Equal(t, "ResourceExistsException", errorCode(err))
	described, err := s.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: aws.String("purser/session")})
	require.NoError(t, err)
	require.Len(t, described.VersionIdsToStages, 2)
	_, err = s.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("none")})
	require.Equal(t, "ResourceNotFoundException", errorCode(err))
	info, err := os.Stat(filepath.Join(s.data, ".purser", "secrets.json"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "secrets are for their owner only")

	topics, err := s.sns.ListTopics(ctx, &sns.ListTopicsInput{})
	require.NoError(t, err)
	require.Len(t, topics.Topics, 1)
	require.Equal(t, *topic.TopicArn, *topics.Topics[0].TopicArn)
}

func TestWhatIsPublishedIsALineOfAFile(t *testing.T) {
	s, ctx := startServices(t), t.Context()
	topic, err := s.sns.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("jobs")})
	require.NoError(t, err)
	for _, message := range []string{"job pos-1 is done:\n3 files", "<second>"} {
		_, err := s.sns.Publish(ctx, &sns.PublishInput{TopicArn: topic.TopicArn, Subject: aws.String("Purser"), Message: &message})
		require.NoError(t, err)
	}
	_, err = s.sns.Publish(ctx, &sns.PublishInput{TopicArn: aws.String(*topic.TopicArn + "x"), Message: aws.String("lost")})
	require.Equal(t, "NotFound", errorCode(err))
	data, err := os.ReadFile(filepath.Join(s.data, "notifications.jsonl"))
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	require.Len(t, lines, 2)
	var n struct{ Topic, Subject, Message string }
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &n))
	require.Equal(t, []string{"jobs", "Purser", "job pos-1 is done:\n3 files"}, []string{n.Topic, n.Subject, n.Message})
}

func TestAWrongAccessKeyIsRefusedByEveryService(t *testing.T) {
	s, ctx := startServices(t), t.Context()
	s.connect("somebody", "purser-local")
	for service, call := range map[string]func(context.Context) error{
		"s3":  func(ctx context.Context) error { _, err := s.s3.ListBuckets(ctx, &s3.ListBucketsInput{}); return err },
		"sqs": func(ctx context.Context) error { _, err := s.sqs.ListQueues(ctx, &sqs.ListQueuesInput{}); return err },
		"dynamodb": func(ctx context.Context) error {
			_, err := s.dynamodb.ListTables(ctx, &dynamodb.ListTablesInput{})
			return err
		},
		"secretsmanager": func(ctx context.Context) error {
			_, err := s.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("x")})
			return err
		},
		"sns": func(ctx context.Context) error { _, err := s.sns.ListTopics(ctx, &sns.ListTopicsInput{}); return err },
	} {
		require.Contains(t, []string{"InvalidAccessKeyId", "UnrecognizedClientException", "InvalidClientTokenId"}, errorCode(call(ctx)), service)
	}
}

func TestHealthNeedsNoKeyAndWebPagesGetNothing(t *testing.T) {
	s := startServices(t)
	ask := func(origin string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.server.URL+"/_health", nil)
		require.NoError(t, err)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		response, err := s.server.Client().Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode
	}
	require.Equal(t, http.StatusOK, ask(""))
	require.Equal(t, http.StatusForbidden, ask("https://example.com"))
}

func TestADataDirectoryInUseIsRefusedWithTheReason(t *testing.T) {
	s := startServices(t)
	_, err := local.OpenServices(local.ServicesOptions{Data: s.data, AccessKey: "purser", SecretKey: "purser-local"})
	require.ErrorContains(t, err, s.data)
	require.ErrorContains(t, err, "another process uses it")
}
