package storage

// gcs is Google Cloud Storage.
var gcs = scheme{example: "gs://bucket/path", matches: bySchemes("gs"), remedy: useKServeImage}
