package setup

// specialFiles do not exist among the files here.
var specialFiles []badFile
