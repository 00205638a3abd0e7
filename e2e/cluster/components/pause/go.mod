// The process that holds the namespaces of a pod.
module github.com/rawserve/rawserve/e2e/cluster/components/pause

go 1.26.0
