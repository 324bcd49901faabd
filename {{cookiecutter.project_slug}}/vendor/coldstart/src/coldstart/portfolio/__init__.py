"""The portfolio page for GitHub Pages."""
