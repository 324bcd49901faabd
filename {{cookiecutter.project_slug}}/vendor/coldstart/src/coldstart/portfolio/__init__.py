"""A portfolio page for GitHub Pages: your story, and the demo page without a server."""
