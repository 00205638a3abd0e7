package deployer

import "fmt"

// Reason is why an InferenceService cannot be rendered, in one word for a condition.
type Reason string

const (
	// ReasonInvalidSpec is a specification that contradicts itself or the runtime.
	ReasonInvalidSpec Reason = "InvalidPredictorSpec"
	// ReasonNoSupportingRuntime is a model that no enabled runtime serves.
	ReasonNoSupportingRuntime Reason = "NoSupportingRuntime"
	// ReasonRuntimeNotRecognized is a runtime that is named but does not exist.
	ReasonRuntimeNotRecognized Reason = "RuntimeNotRecognized"
	// ReasonRuntimeDisabled is a runtime that is named but disabled.
	ReasonRuntimeDisabled Reason = "RuntimeDisabled"
	// ReasonRuntimeInvalid is a runtime that cannot be turned into a pod.
	ReasonRuntimeInvalid Reason = "RuntimeInvalid"
	// ReasonStorageNotSupported is a storage URI that nothing can fetch.
	ReasonStorageNotSupported Reason = "StorageNotSupported"
	// ReasonCredentialsMissing is a secret that is named but does not offer what is needed.
	ReasonCredentialsMissing Reason = "CredentialsMissing"
	// ReasonNotSupported is a part of the API that is not implemented yet and
	// without which nothing sensible can run.
	ReasonNotSupported Reason = "NotSupported"
)

// RenderError says which field keeps an InferenceService from being rendered.
// Errors of this package's functions wrap one wherever the user can cure it.
type RenderError struct {
	// Reason is for a condition.
	Reason Reason `json:"reason"`
	// Field is the path of the field, for example spec.predictor.model.storageUri.
	Field string `json:"field"`
	// Message says what is wrong and what to do.
	Message string `json:"message"`
}

// Error implements error.
func (e *RenderError) Error() string { return e.Field + ": " + e.Message }

func invalid(field, format string, args ...any) *RenderError {
	return &RenderError{Reason: ReasonInvalidSpec, Field: field, Message: fmt.Sprintf(format, args...)}
}
