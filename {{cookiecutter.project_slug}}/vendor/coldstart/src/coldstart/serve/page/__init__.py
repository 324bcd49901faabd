"""The demo page of the API."""
