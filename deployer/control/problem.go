package control

import (
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
	"github.com/rawserve/rawserve/deployer/ports"
	"github.com/rawserve/rawserve/deployer/status"
)

// Reasons of problems that are found here and not by the deployer's core.
const (
	// reasonNameTaken: an object of somebody else has a name that is needed.
	reasonNameTaken = "NameTaken"
	// reasonNoListenPort: every listen port is taken.
	reasonNoListenPort = "NoListenPort"
	// reasonObjectTerminating: an object that is needed anew is still being deleted.
	reasonObjectTerminating = "ObjectTerminating"
)

// failureReasons are the words of modelStatus for the reasons of the core. The others
// are InvalidPredictorSpec.
var failureReasons = map[deployer.Reason]v1beta1.FailureReason{
	deployer.ReasonNoSupportingRuntime:  v1beta1.FailureNoSupportingRuntime,
	deployer.ReasonRuntimeNotRecognized: v1beta1.FailureRuntimeNotRecognized,
	deployer.ReasonRuntimeDisabled:      v1beta1.FailureRuntimeDisabled,
	deployer.ReasonRuntimeInvalid:       v1beta1.FailureRuntimeUnhealthy,
}

// problemOf says what of an error belongs in the status. A transient one does not:
// the next try is expected to go well.
func problemOf(err error) (problem *status.Problem, transient bool) {
	var cause *deployer.RenderError
	var name taken
	switch {
	case err == nil:
		return nil, false
	case errors.As(err, &cause):
		failure, ok := failureReasons[cause.Reason]
		if !ok {
			failure = v1beta1.FailureInvalidPredictorSpec
		}
		return &status.Problem{Reason: string(cause.Reason), Message: cause.Error(), Failure: failure}, false
	case errors.As(err, &name):
		return &status.Problem{Reason: reasonNameTaken, Message: name.Error()}, false
	case errors.Is(err, ports.ErrFull):
		return &status.Problem{Reason: reasonNoListenPort, Message: err.Error()}, false
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		// What was asked for is at fault: the same request gets the same answer.
		return &status.Problem{Reason: v1beta1.ReasonReconcileFailed, Message: err.Error()}, false
	}
	return nil, true
}
