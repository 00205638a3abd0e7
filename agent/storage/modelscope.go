package storage

// modelScope is a repository of the ModelScope hub.
var modelScope = scheme{example: "modelscope://owner/model", matches: bySchemes("modelscope"), remedy: useKServeImage}
