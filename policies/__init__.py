"""What AWS gets: the IAM policies, with $placeholders."""
