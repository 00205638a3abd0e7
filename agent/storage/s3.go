package storage

// s3 is Amazon S3 and everything that speaks its protocol.
var s3 = scheme{example: "s3://bucket/path", matches: bySchemes("s3"), remedy: useKServeImage}
