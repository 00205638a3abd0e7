// The end-to-end suites and the demo: rawserve on a real cluster.
module github.com/rawserve/rawserve/e2e/suites

go 1.26.0

require (
	github.com/rawserve/rawserve v0.0.0
	github.com/rawserve/rawserve/e2e/cluster v0.0.0
	github.com/rawserve/rawserve/e2e/modelserver v0.0.0
)

replace (
	github.com/rawserve/rawserve => ../..
	github.com/rawserve/rawserve/e2e/cluster => ../cluster
	github.com/rawserve/rawserve/e2e/modelserver => ../modelserver
)
