package storage

// azureBlob and azureFile are told from plain https by their hosts. A single blob that
// is public or has a signed URL cannot be told from a folder, so it is no exception.
var (
	azureBlob = scheme{example: "https://account.blob.core.windows.net/container/path", matches: byHostSuffix(".blob.core.windows.net"), remedy: useKServeImage}
	azureFile = scheme{example: "https://account.file.core.windows.net/share/path", matches: byHostSuffix(".file.core.windows.net"), remedy: useKServeImage}
)
