package v1beta1

// StorageURI is one thing to download and where to put it.
type StorageURI struct {
	// URI to download.
	// +kubebuilder:validation:MinLength=1
	URI string `json:"uri"`
	// MountPath is the absolute path in the server's container, at most 255
	// characters. Default /mnt/models.
	// +kubebuilder:default="/mnt/models"
	// +kubebuilder:validation:Pattern=`^/.*`
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self.matches('[^/]') && !self.contains('..')",message="mountPath must be an absolute path below /, without '..': use for example /mnt/models"
	// +optional
	MountPath string `json:"mountPath,omitempty"`
}

// StorageSpec describes a model's place through an entry of the storage secret.
type StorageSpec struct {
	// Path of the model within the storage. It must not be empty.
	// +optional
	Path *string `json:"path,omitempty"`
	// SchemaPath is the path of the model's schema within the storage.
	// +optional
	SchemaPath *string `json:"schemaPath,omitempty"`
	// Parameters override those of the storage secret, for example bucket or type.
	// +optional
	Parameters *map[string]string `json:"parameters,omitempty"`
	// StorageKey is the entry of the storage secret. Default: default_<type>, then default.
	// +optional
	StorageKey *string `json:"key,omitempty"`
}

// ConfidentialSpec asks for an encrypted model.
type ConfidentialSpec struct {
	// Enabled turns decryption on.
	Enabled bool `json:"enabled"`
	// ResourceID names the key to fetch from the key broker.
	// +optional
	ResourceID *string `json:"resourceId,omitempty"`
}
