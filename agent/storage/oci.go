package storage

// oci is a model in an image, in each of KServe's spellings.
var oci = scheme{
	example: "oci://image",
	matches: bySchemes("oci", "oci+native", "oci+fetch", "oci+modelcar"),
	remedy:  "an image is mounted into the model's pod as a volume or runs beside the model server; enable it through storageInitializer.enableOciModelSupport in the inferenceservice-config ConfigMap",
}
