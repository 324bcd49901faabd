<<<<<<< HEAD
"""Data: brings a person's own data in, finds out what it is, and drafts the contract."""
=======
"""Data: brings sources in, and finds out what is in them."""
>>>>>>> main
