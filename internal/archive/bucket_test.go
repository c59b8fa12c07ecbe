package archive

import (
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/purserhq/purser/internal/local"
)

// newArchive is an archive in an empty bucket of a local S3.
func newArchive(t *testing.T) *Archive {
	t.Helper()
	services, err := local.OpenServices(local.ServicesOptions{Data: t.TempDir(), AccessKey: "test", SecretKey: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(services.Handler())
	t.Cleanup(func() {
		front.Close()
		if err := services.Close(); err != nil {
			t.Error(err)
		}
	})
	client := s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(front.URL), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("test", "secret", ""),
	})
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("purser")}); err != nil {
		t.Fatal(err)
	}
	return New(client, "purser")
}
