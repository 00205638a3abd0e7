package storage

// oci is a model in an image, in each of KServe's spellings.
var oci = scheme{
	example: "oci://image",
	matches: bySchemes("oci", "oci+native", "oci+fetch", "oci+modelcar"),
	remedy:  "an image is mounted into the model's pod as a volume and needs no storage-initializer; use oci+native:// in the InferenceService's storageUri, on Kubernetes 1.35 or later",
}
