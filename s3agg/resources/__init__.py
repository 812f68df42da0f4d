"""The resources of a stack: one file per service, one class per resource."""
