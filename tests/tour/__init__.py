"""The README's pictures and its pages of help, made from what the commands really print."""
