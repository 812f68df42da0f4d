"""Price tables, and the bill computed from them."""
