"""The code of the two Lambda functions, one file each, and the module that they share."""
