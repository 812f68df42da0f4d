"""The tour: a page with pictures and pages of help, made from what the commands really print."""
