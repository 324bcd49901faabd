"""Publishing at the Hugging Face Hub: a model with its card, and a Space with the API."""
