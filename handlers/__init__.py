"""What AWS gets: the two Lambda functions, one readable file each."""
