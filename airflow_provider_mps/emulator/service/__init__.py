"""What MPS does with a request."""
