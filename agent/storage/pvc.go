package storage

// pvc is a volume claim. It is mounted by the deployer and never reaches an init
// container, unless somebody passes it by hand.
var pvc = scheme{
	example: "pvc://claim/path",
	matches: bySchemes("pvc"),
	remedy:  "a claim is mounted into the model's pod and needs no storage-initializer; use pvc:// in the InferenceService's storageUri",
}
