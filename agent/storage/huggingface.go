package storage

// huggingFace is a repository of the Hugging Face hub.
var huggingFace = scheme{example: "hf://owner/model[:revision]", matches: bySchemes("hf"), remedy: useKServeImage}
