"""What is asked for: a request, checked and created once."""
