"""One signed call of the API."""
