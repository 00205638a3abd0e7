package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TransitionStatus says how the model in service relates to the one wanted.
//
// +kubebuilder:validation:Enum="";UpToDate;InProgress;BlockedByFailedLoad;InvalidSpec
type TransitionStatus string

// Transition statuses.
const (
	// TransitionUpToDate means that the wanted model serves.
	TransitionUpToDate TransitionStatus = "UpToDate"
	// TransitionInProgress means that the wanted model is on its way.
	TransitionInProgress TransitionStatus = "InProgress"
	// TransitionBlockedByFailedLoad means that the wanted model did not load.
	TransitionBlockedByFailedLoad TransitionStatus = "BlockedByFailedLoad"
	// TransitionInvalidSpec means that the specification must change first.
	TransitionInvalidSpec TransitionStatus = "InvalidSpec"
)

// ModelState is the state of one model.
//
// +kubebuilder:validation:Enum="";Pending;Standby;Loading;Loaded;FailedToLoad
type ModelState string

// Model states.
const (
	// ModelPending means that nothing has begun.
	ModelPending ModelState = "Pending"
	// ModelStandby means that the model is available and loads when used: scaled to zero.
	ModelStandby ModelState = "Standby"
	// ModelLoading means that the model is downloading or loading.
	ModelLoading ModelState = "Loading"
	// ModelLoaded means that the model serves.
	ModelLoaded ModelState = "Loaded"
	// ModelFailedToLoad means that the model did not load.
	ModelFailedToLoad ModelState = "FailedToLoad"
)

// FailureReason is why a model does not serve.
//
// +kubebuilder:validation:Enum=ModelLoadFailed;RuntimeUnhealthy;RuntimeDisabled;NoSupportingRuntime;RuntimeNotRecognized;InvalidPredictorSpec
type FailureReason string

// Failure reasons.
const (
	// FailureModelLoadFailed means that download or load failed.
	FailureModelLoadFailed FailureReason = "ModelLoadFailed"
	// FailureRuntimeUnhealthy means that the server's container does not run.
	FailureRuntimeUnhealthy FailureReason = "RuntimeUnhealthy"
	// FailureRuntimeDisabled means that the named runtime is disabled.
	FailureRuntimeDisabled FailureReason = "RuntimeDisabled"
	// FailureNoSupportingRuntime means that no runtime supports the model.
	FailureNoSupportingRuntime FailureReason = "NoSupportingRuntime"
	// FailureRuntimeNotRecognized means that the named runtime does not exist.
	FailureRuntimeNotRecognized FailureReason = "RuntimeNotRecognized"
	// FailureInvalidPredictorSpec means that the predictor contradicts itself or the runtime.
	FailureInvalidPredictorSpec FailureReason = "InvalidPredictorSpec"
)

// ModelStatus is the state of a predictor's model.
type ModelStatus struct {
	// TransitionStatus says how the model in service relates to the one wanted.
	// +kubebuilder:default=UpToDate
	// +optional
	TransitionStatus TransitionStatus `json:"transitionStatus,omitempty"`
	// ModelRevisionStates has the states of the models in service and wanted.
	// +optional
	ModelRevisionStates *ModelRevisionStates `json:"states,omitempty"`
	// LastFailureInfo is about the last failure.
	// +optional
	LastFailureInfo *FailureInfo `json:"lastFailureInfo,omitempty"`
	// ModelCopies counts replicas.
	// +optional
	ModelCopies *ModelCopies `json:"copies,omitempty"`
}

// ModelRevisionStates has the states of the models in service and wanted.
type ModelRevisionStates struct {
	// ActiveModelState is the state of the model in service.
	// +kubebuilder:default=Pending
	// +optional
	ActiveModelState ModelState `json:"activeModelState,omitempty"`
	// TargetModelState is the state of the wanted model.
	// +optional
	TargetModelState ModelState `json:"targetModelState,omitempty"`
}

// ModelCopies counts replicas.
type ModelCopies struct {
	// FailedCopies did not load the model.
	// +kubebuilder:default=0
	FailedCopies int `json:"failedCopies"`
	// TotalCopies are ready.
	// +optional
	TotalCopies int `json:"totalCopies,omitempty"`
}

// FailureInfo is about one failure.
type FailureInfo struct {
	// Location is the pod or process that failed.
	// +optional
	Location string `json:"location,omitempty"`
	// Reason is why, in one word.
	// +optional
	Reason FailureReason `json:"reason,omitempty"`
	// Message is why, for people.
	// +optional
	Message string `json:"message,omitempty"`
	// ModelRevisionName is the revision that failed.
	// +optional
	ModelRevisionName string `json:"modelRevisionName,omitempty"`
	// Time of the failure.
	// +optional
	Time *metav1.Time `json:"time,omitempty"`
	// ExitCode of the container that failed.
	// +optional
	ExitCode int32 `json:"exitCode,omitempty"`
}
