package storage

// hdfs is Hadoop's file system by its own protocol, webhdfs the same over HTTP.
var (
	hdfs    = scheme{example: "hdfs://path", matches: bySchemes("hdfs"), remedy: useKServeImage}
	webhdfs = scheme{example: "webhdfs://path", matches: bySchemes("webhdfs"), remedy: useKServeImage}
)
