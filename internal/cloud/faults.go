//go:build !faults

package cloud

import "github.com/aws/aws-sdk-go-v2/aws"

// injectFaults does nothing in what is shipped; see faults_on.go.
func injectFaults(*aws.Config) {}
