//go:build faults

package cloud

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// injectFaults makes calls fail as AWS's do, for `make chaos`: PURSER_AWS_FAULTS is the share of calls, 0 to 1, that are
// throttled, get a server's error, or whose answer is lost although the call was carried out; the same share of transactions is
// cancelled for meeting another one, and of batches of messages loses its last entry. PURSER_AWS_SEED makes the choice repeatable
// for the same sequence of calls.
func injectFaults(cfg *aws.Config) {
	share, err := strconv.ParseFloat(os.Getenv("PURSER_AWS_FAULTS"), 64)
	if err != nil || share <= 0 {
		return
	}
	hash := fnv.New64a()
	hash.Write([]byte(os.Getenv("PURSER_AWS_SEED") + os.Getenv("AWS_LAMBDA_FUNCTION_NAME")))
	var (
		mu   sync.Mutex
		dice = rand.New(rand.NewPCG(hash.Sum64(), 1))
	)
	roll := func() (float64, int) {
		mu.Lock()
		defer mu.Unlock()
		return dice.Float64(), dice.IntN(3)
	}
	cfg.APIOptions = append(cfg.APIOptions, func(stack *middleware.Stack) error {
		return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("PurserFaults", func(
			ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
		) (middleware.FinalizeOutput, middleware.Metadata, error) {
			chance, kind := roll()
			if chance >= share {
				return next.HandleFinalize(ctx, in)
			}
			switch kind {
			case 0:
				return middleware.FinalizeOutput{}, middleware.Metadata{},
					&smithy.GenericAPIError{Code: "ThrottlingException", Message: "injected: rate exceeded", Fault: smithy.FaultServer}
			case 1:
				return middleware.FinalizeOutput{}, middleware.Metadata{}, &smithyhttp.ResponseError{
					Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusInternalServerError}},
					Err:      &smithy.GenericAPIError{Code: "InternalServerError", Message: "injected", Fault: smithy.FaultServer},
				}
			}
			_, metadata, err := next.HandleFinalize(ctx, in)
			if err != nil {
				return middleware.FinalizeOutput{}, metadata, err
			}
			return middleware.FinalizeOutput{}, metadata, &smithyhttp.RequestSendError{Err: context.DeadlineExceeded}
		}), middleware.After)
	}, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("PurserPartialFaults", func(
			ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
		) (middleware.InitializeOutput, middleware.Metadata, error) {
			if chance, _ := roll(); chance < share {
				switch input := in.Parameters.(type) {
				case *dynamodb.TransactWriteItemsInput:
					reasons := make([]dynamotypes.CancellationReason, len(input.TransactItems))
					reasons[len(reasons)-1].Code = aws.String("TransactionConflict")
					return middleware.InitializeOutput{}, middleware.Metadata{}, &dynamotypes.TransactionCanceledException{
						Message: aws.String("injected"), CancellationReasons: reasons,
					}
				case *sqs.SendMessageBatchInput:
					return withoutLast(ctx, input, next)
				}
			}
			return next.HandleInitialize(ctx, in)
		}), middleware.After)
	})
}

// withoutLast sends all messages but the last, of which it says that it failed.
func withoutLast(
	ctx context.Context, input *sqs.SendMessageBatchInput, next middleware.InitializeHandler,
) (middleware.InitializeOutput, middleware.Metadata, error) {
	last := len(input.Entries) - 1
	failed := sqstypes.BatchResultErrorEntry{Id: input.Entries[last].Id, Code: aws.String("ServiceUnavailable"), Message: aws.String("injected")}
	if last == 0 {
		return middleware.InitializeOutput{Result: &sqs.SendMessageBatchOutput{
			Failed: []sqstypes.BatchResultErrorEntry{failed},
		}}, middleware.Metadata{}, nil
	}
	fewer := *input
	fewer.Entries = input.Entries[:last]
	out, metadata, err := next.HandleInitialize(ctx, middleware.InitializeInput{Parameters: &fewer})
	if answer, ok := out.Result.(*sqs.SendMessageBatchOutput); ok && err == nil {
		answer.Failed = append(answer.Failed, failed)
	}
	return out, metadata, err
}
